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
from tieline.validation import Answer, DealRule, ask_rules, deal_rules

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
    """The verdict on one deal: every reason, and what nobody could check."""

    blockers: tuple[Blocker, ...]
    warnings: tuple[Blocker, ...]
    not_checked: tuple[str, ...]


def judge_deals(
    connection: Connection[Row],
    *,
    deals: Sequence[DealFacts],
    severities: Sequence[Mapping[str, str]],
    among: Sequence[DealFacts] = (),
    asked: Collection[str] | None = None,
) -> list[Judged]:
    """Ask every rule of all deals at once; ``severities`` are what a release says of each deal's.

    ``among`` are all deals, where some of them are asked; ``asked`` names the only rules to ask.
    """
    if not deals:
        return []
    rows = rows_of(deals, load_told(connection, deals=among or deals))
    answers = ask_rules(connection, rows=rows, asked=asked)
    return [
        _judged(answers.get(number, {}), decided)
        for number, (_, decided) in enumerate(zip(deals, severities, strict=True))
    ]


def _judged(answers: Mapping[str, Answer], severities: Mapping[str, str]) -> Judged:
    found: dict[str, list[Blocker]] = {ERROR: [], WARN: []}
    not_checked = []
    for rule in CHECKS:
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
    )
