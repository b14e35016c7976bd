"""What must be true before a won deal becomes a project; every blocker is told at once.

The rules are data, in the provisioning book; they are asked of all deals in one go. What a rule has
nothing to go by for is *not checked*, and told as that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.services.provisioning_context import load_told, rows_of
from tieline.services.provisioning_facts import DealFacts
from tieline.validation import (
    Answer,
    DealRule,
    ask_own_deal_rules,
    ask_rules,
    deal_rules,
    own_deal_rules,
)

ERROR, WARN, IGNORE = "error", "warn", "ignore"
CHECKS: tuple[DealRule, ...] = deal_rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """What a check found, in words a person can act on."""

    code: str
    severity: str
    owner_queue: str
    message: str
    fix_hint: str
    things: tuple[str, ...]
    opens_case: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict on one deal: every reason, what nobody could check, and the rules that were asked."""

    blockers: tuple[Blocker, ...]
    warnings: tuple[Blocker, ...]
    not_checked: tuple[str, ...]
    rules: tuple[DealRule, ...] = ()


def judge_deals(
    connection: Connection[Row],
    *,
    deals: Sequence[DealFacts],
    severities: Sequence[Mapping[str, str]],
    among: Sequence[DealFacts] = (),
    asked: Collection[str] | None = None,
) -> list[Judged]:
    """Ask every rule of all deals at once, also the firm's own; ``severities`` are what a release says of each deal's.

    ``among`` are all deals, where some of them are asked; ``asked`` names the only shipped rules to ask: of the
    firm's own, then, those that look at what all shipped ones of their kind are asked of.
    """
    if not deals:
        return []
    rows = rows_of(deals, load_told(connection, deals=among or deals))
    shipped, own = _shipped(asked), _own(connection, asked)
    answers = ask_rules(connection, rows=rows, rules=shipped)
    own_answers = ask_own_deal_rules(connection, rows=rows, rules=own)
    rules = (*shipped, *own)
    return [
        _judged(rules, {**answers.get(number, {}), **own_answers.get(number, {})}, decided)
        for number, (_, decided) in enumerate(zip(deals, severities, strict=True))
    ]


def _shipped(asked: Collection[str] | None) -> list[DealRule]:
    return [rule for rule in CHECKS if asked is None or rule.code in asked]


def _own(connection: Connection[Row], asked: Collection[str] | None) -> list[DealRule]:
    left_out = {rule.scope for rule in CHECKS if asked is not None and rule.code not in asked}
    return [rule for rule in own_deal_rules(connection) if rule.scope not in left_out]


def _judged(
    rules: tuple[DealRule, ...], answers: Mapping[str, Answer], severities: Mapping[str, str]
) -> Judged:
    found: dict[str, list[Blocker]] = {ERROR: [], WARN: []}
    not_checked = []
    for rule in rules:
        severity = severities.get(rule.code, rule.severity)
        answer = answers.get(rule.code)
        if severity == IGNORE or answer is None:
            continue
        if answer.is_unknown:
            not_checked.append(rule.code)
            continue
        found.setdefault(severity, []).append(
            Blocker(
                code=rule.code,
                severity=severity,
                owner_queue=rule.owner_queue,
                message=rule.message,
                fix_hint=rule.fix_hint,
                things=tuple(thing for thing in answer.things if thing),
                opens_case=rule.opens_case,
            )
        )
    return Judged(
        blockers=tuple(found[ERROR]),
        warnings=tuple(found[WARN]),
        not_checked=tuple(not_checked),
        rules=rules,
    )
