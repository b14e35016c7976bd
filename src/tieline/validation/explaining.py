"""What each rule answered about one hour, by the statement that judged it, as everything was known then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection

from tieline.policy import Rule
from tieline.runtime.database import Row
from tieline.runtime.sql import load
from tieline.validation.answering import answer_rows
from tieline.validation.columns import documented_columns
from tieline.validation.predicates import read_columns
from tieline.validation.statement import OLD_SUBJECT, load_rules, written
from tieline.validation.weighing import EVERY_WEIGHT

HOLDS, VIOLATED, NOT_APPLICABLE, NOT_ASKED = "holds", "violated", "not_applicable", "not_asked"
IGNORED = "ignored"
_WEIGHED = (
    "WITH judged AS MATERIALIZED ({}), every_weight AS MATERIALIZED ("
    + EVERY_WEIGHT
    + ") "
    + load("tieline.validation", "explained")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Which part of the policy gave a rule another weight, for what, and from when until when."""

    severity: str
    entity_code: str | None
    client_id: str | None
    contract_id: str | None
    starts_on: date
    ends_on: date | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAnswer:
    """What a rule said: it holds, is violated, violated and ignored, not applicable, or was not asked.

    ``severity`` is the rule's own, ``weight`` what a violation of it weighed here. ``columns`` are those that
    it looks at, with what stood in them.
    """

    code: str
    answer: str
    severity: str
    weight: str | None
    override: Override | None
    owner_queue: str
    message: str
    fix_hint: str
    applies_when: str
    predicate: str
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """How a verdict came about; ``differs`` are reasons that are told now and were not then, or the reverse."""

    verdict_id: int
    outcome: str
    context: Mapping[str, Any]
    rules: tuple[RuleAnswer, ...]
    differs: tuple[str, ...]


def explain_verdict(connection: Connection[Row], *, verdict_id: int) -> Explained:
    """Ask the statement that made a verdict once more, about what was known then.

    :raises LookupError: there is no such verdict.
    """
    verdict = connection.execute(
        "SELECT v.verdict_id, v.entry_id, v.version, v.known_at, v.judged_at AS now, v.release_id, v.outcome,"
        " ARRAY(SELECT r.code || '=' || r.severity FROM verdict_reason r"
        "       WHERE r.verdict_id = v.verdict_id ORDER BY 1) AS reasons"
        " FROM verdict v WHERE v.verdict_id = %s",
        (verdict_id,),
    ).fetchone()
    if verdict is None:
        raise LookupError(f"no verdict has the number {verdict_id}")
    rules = load_rules(connection, release_id=verdict["release_id"])
    (row,) = answer_rows(
        connection,
        subject=OLD_SUBJECT,
        rules=rules,
        values=verdict,
        is_then=True,
        around=_WEIGHED,
    )
    told = {
        f"{each['code']}={each['weight']}" for each in row["weights"] if each["weight"] != "ignore"
    }
    return Explained(
        verdict_id=verdict_id,
        outcome=verdict["outcome"],
        context={column.name: row[column.name] for column in documented_columns()},
        rules=_answers(rules, row),
        differs=tuple(sorted(told ^ set(verdict["reasons"]))),
    )


def _answers(rules: Sequence[Rule], row: Row) -> tuple[RuleAnswer, ...]:
    said = dict(part.split("=", 1) for part in row["answers"] if part is not None)
    weights = {each["code"]: each for each in row["weights"]}
    return tuple(
        _answer(rule, row, said.get(rule.code, NOT_ASKED), weights.get(rule.code)) for rule in rules
    )


def _answer(rule: Rule, row: Row, answer: str, weight: Mapping[str, Any] | None) -> RuleAnswer:
    is_ignored = weight is not None and weight["weight"] == "ignore"
    return RuleAnswer(
        code=rule.code,
        answer=IGNORED if is_ignored else answer,
        severity=rule.severity,
        weight=None if weight is None else weight["weight"],
        override=None if weight is None else _override(weight["override"]),
        owner_queue=rule.owner_queue,
        message=rule.message,
        fix_hint=rule.fix_hint,
        applies_when=rule.applies_when,
        predicate=rule.predicate,
        columns={name: row[name] for name in _read(rule) if name in row},
    )


def _override(found: Mapping[str, Any] | None) -> Override | None:
    if found is None:
        return None
    ends_on = found["ends_on"]
    return Override(
        severity=found["severity"],
        entity_code=found["entity_code"],
        client_id=found["client_id"],
        contract_id=found["contract_id"],
        starts_on=date.fromisoformat(found["starts_on"]),
        ends_on=None if ends_on is None else date.fromisoformat(ends_on),
        reason=found["reason"],
    )


def _read(rule: Rule) -> list[str]:
    applies_when, predicate = written(rule)
    return sorted(read_columns(applies_when) | read_columns(predicate))
