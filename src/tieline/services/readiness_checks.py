"""What must be true before a contract's period may be billed; everything that stands in the way is told at once.

The rules are data, in the readiness book; they are asked of all contracts and periods in one go. What a rule has
nothing to go by for is *not checked*: counted, and never shown as passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.validation import Answer, InvoiceRule, ask_about_invoices, invoice_rules

HOURLY_METHODS = ("time_and_materials", "capped_time_and_materials")
BLOCK, RISK, WARN, IGNORE = "block", "risk", "warn", "ignore"
"""Needs a person; heals by itself or by time; is only told; is not even told."""

CHECKS: tuple[InvoiceRule, ...] = invoice_rules()
WHY_UNKNOWN = {rule.code: {"message": rule.unknown, "lacks": rule.lacks} for rule in CHECKS}
_RULES = {rule.code: rule for rule in CHECKS}
CARRIABLE = frozenset(rule.code for rule in CHECKS if rule.may_be_carried)
_CENT = Decimal("0.01")
# A release says of every book how severe a rule is; of an invoice, an error blocks.
_AS_WEIGHT = {"error": BLOCK, "warn": WARN, "ignore": IGNORE}

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """A check that failed: whose it is, what mends it, what it is worth, by when."""

    code: str
    weight: str
    owner_queue: str
    message: str
    fix: str
    amount: Decimal
    seconds: int
    deadline_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored; the amount as text, so that it stays exact."""
        return {
            "code": self.code,
            "weight": self.weight,
            "owner_queue": self.owner_queue,
            "message": self.message,
            "fix": self.fix,
            "amount": str(self.amount),
            "seconds": self.seconds,
            "deadline_at": self.deadline_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What the rules say of one contract and period; ``passed`` counts those that hold."""

    blockers: tuple[Blocker, ...]
    not_checked: tuple[InvoiceRule, ...]
    passed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What the current release says of the weight of checks, the narrowest last."""

    values: Mapping[tuple[str, str], str]
    overrides: Mapping[str, Sequence[Row]]

    def of(self, rule: InvoiceRule, facts: Facts) -> str:
        """Return how a rule weighs for a contract today."""
        entity_code = facts["entity_code"]
        weight = self.values.get(
            (rule.code, entity_code), self.values.get((rule.code, ""), rule.severity)
        )
        for row in self.overrides.get(rule.code, ()):
            if _is_for(row, facts, today=facts["today"]):
                weight = _AS_WEIGHT[row["severity"]]
        return weight


def read_weights(connection: Connection[Row]) -> Weights:
    """Return the weights of the current release: by legal entity, client and contract."""
    values = connection.execute(
        "SELECT substr(v.name, length('weight:') + 1) AS code, v.entity_code, v.value"
        " FROM policy_value v JOIN release r USING (release_id)"
        " WHERE r.state = 'current' AND v.name LIKE 'weight:readiness.%'"
    ).fetchall()
    overrides: dict[str, list[Row]] = {}
    for row in connection.execute(
        """
        SELECT o.code, o.severity, o.entity_code, o.client_id, o.contract_id, o.starts_on, o.ends_on
        FROM severity_override o JOIN release r USING (release_id)
        WHERE r.state = 'current' AND o.code LIKE 'readiness.%'
        ORDER BY o.contract_id IS NOT NULL, o.client_id IS NOT NULL, o.entity_code IS NOT NULL,
                 o.override_id
        """
    ):
        overrides.setdefault(row["code"], []).append(row)
    return Weights(
        values={(row["code"], row["entity_code"]): row["value"] for row in values},
        overrides=overrides,
    )


def check_invoices(
    connection: Connection[Row], *, facts: Sequence[Facts], weights: Weights
) -> list[Checked]:
    """Ask every rule of all contracts and periods at once."""
    answers = ask_about_invoices(connection, facts=facts)
    return [_checked(answers.get(number, {}), each, weights) for number, each in enumerate(facts)]


def _checked(answers: Mapping[str, Answer], facts: Facts, weights: Weights) -> Checked:
    blockers, not_checked = [], []
    # In the order of the book: that is how they were asked.
    for code, answer in answers.items():
        rule = _RULES[code]
        weight = weights.of(rule, facts)
        # What the firm leaves out is not missed by anybody.
        if weight == IGNORE:
            continue
        if answer.is_unknown:
            not_checked.append(rule)
        else:
            blockers.append(_blocker(rule, facts, weight=weight))
    return Checked(
        blockers=tuple(blockers),
        not_checked=tuple(not_checked),
        passed=len(CHECKS) - len(answers),
    )


def _blocker(rule: InvoiceRule, facts: Facts, *, weight: str) -> Blocker:
    return Blocker(
        code=rule.code,
        weight=weight,
        owner_queue=rule.owner_queue,
        message=rule.message,
        fix=rule.fix_hint,
        # Decimal arithmetic in the database brings more digits than money has.
        amount=Decimal(facts[rule.amount] if rule.amount else 0).quantize(_CENT),
        seconds=int(facts[rule.seconds]) if rule.seconds else 0,
        deadline_at=facts["cut_off_at"],
    )


def _is_for(row: Row, facts: Facts, *, today: date) -> bool:
    return (
        all(
            row[name] in (None, facts[name]) for name in ("entity_code", "client_id", "contract_id")
        )
        and row["starts_on"] <= today
        and (row["ends_on"] is None or today < row["ends_on"])
    )
