"""Tell people what would be held of the hours that nobody has approved: one message each, once a day.

Pattern: scheduled on the firm's days of the week, and asked for from a shell; sent as every message is. Vendor
calls: none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection

from tieline.governance import record_audit
from tieline.kernel.wording import hours
from tieline.notices import begin_round
from tieline.runtime.database import Database
from tieline.services.early_look import EarlyLook, read_early_look
from tieline.services.message_desk import Desk
from tieline.services.message_text import Speech
from tieline.validation import EarlyVerdict

_LINES_MAX = 20

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyTold:
    """How many were told by one message each, and how many were told today already or have no address."""

    written: int
    not_written: int


@dataclass(slots=True, kw_only=True)
class _Concern:
    """What concerns one person: hours of their own, that they are to approve, and on projects that they manage."""

    own: list[EarlyVerdict] = field(default_factory=list)
    to_approve: list[EarlyVerdict] = field(default_factory=list)
    managed: list[EarlyVerdict] = field(default_factory=list)


def tell_early(
    connection: Connection[Row], *, found: EarlyLook, desk: Desk, by: str, reason: str
) -> EarlyTold:
    """Write one message to whoever worked, is to approve or manages what would be held; as the worker.

    Told once a day, however often it is asked for.

    :raises UserMistake: no channel brings messages to people of the staffing file.
    """
    desk.refuse_unreached_staff()
    done = _tell_each(connection, found, occasion=f"early:{desk.now.date()}", desk=desk)
    record_audit(
        connection,
        now=desk.now,
        actor=by,
        action="time.early_told",
        object="early_look",
        entity_code=None,
        reason=reason,
        data={"owners": done.written + done.not_written, "messages_written": done.written},
    )
    return done


def tell_early_due(
    database: Database,
    *,
    desk: Desk,
    zones: Mapping[str, str],
    days: Collection[int],
    hour: int,
) -> int:
    """Tell once on each of these days of the week, from that hour on each legal entity's clock; return the entities.

    ``days`` count from 0 for Monday. Where no channel reaches people of the staffing file, nobody is told.
    """
    days_now = {
        entity_code: local.date()
        for entity_code, zone in zones.items()
        if (local := desk.now.astimezone(ZoneInfo(zone))).weekday() in days and local.hour >= hour
    }
    # Asked every few seconds, and such a day comes once a week.
    if not days_now or not desk.reaches_staff():
        return 0
    with database.transaction() as connection:
        due = [
            entity_code
            for entity_code, day in days_now.items()
            if begin_round(connection, occasion=f"early:{entity_code}:{day}", now=desk.now)
        ]
        if due:
            # Entities whose hour comes at one time are told of together: nobody in two of them gets two messages.
            found = read_early_look(
                connection, now=desk.now, entities=due, all_entities=list(zones)
            )
            occasion = f"early:{desk.now.date()}:{due[0]}"
            _tell_each(connection, found, occasion=occasion, desk=desk)
    return len(due)


def _tell_each(
    connection: Connection[Row], found: EarlyLook, *, occasion: str, desk: Desk
) -> EarlyTold:
    concerns = _concerns(found)
    written = sum(
        _tell(connection, person_id, concern, occasion=occasion, desk=desk)
        for person_id, concern in concerns.items()
    )
    return EarlyTold(written=written, not_written=len(concerns) - written)


def _concerns(found: EarlyLook) -> dict[UUID, _Concern]:
    concerns: dict[UUID, _Concern] = {}
    for each in found.held:
        if each.person_id is not None:
            concerns.setdefault(each.person_id, _Concern()).own.append(each)
        if each.approver_id is not None and each.approver_id != each.person_id:
            concerns.setdefault(each.approver_id, _Concern()).to_approve.append(each)
        # Nobody hears of an hour twice in one message.
        for manager_id in each.managers.keys() - {each.person_id, each.approver_id}:
            concerns.setdefault(manager_id, _Concern()).managed.append(each)
    return concerns


def _tell(
    connection: Connection[Row], person_id: UUID, concern: _Concern, *, occasion: str, desk: Desk
) -> bool:
    subject, body = _write(concern, speech=desk.speech)
    return desk.remind(
        connection,
        person_id=person_id,
        occasion=occasion,
        entities={
            each.entity_code for each in (*concern.own, *concern.to_approve, *concern.managed)
        },
        subject=subject,
        body=body,
        due_at=None,
        correlation_id=f"early:{person_id}",
    )


def _write(concern: _Concern, *, speech: Speech) -> tuple[str, str]:
    # No names: a message is kept, and names live in one place.
    facts: list[str] = []
    lines: list[str] = []
    for held, fact, opening in (
        (concern.own, "of yours", "Of your hours"),
        (concern.to_approve, "that you approve", "Of the hours that you approve"),
        (concern.managed, "on your projects", "Of the hours of others on your projects"),
    ):
        if held:
            facts.append(f"{_sum(held)} h {fact}")
            lines += [f"{opening} would be held:", *_causes(held), ""]
    lines.append("What is mended in the time tool before it is approved is not held.")
    if speech.web_url:
        lines += ["", f"Who has a login sees more: {speech.web_url}/early"]
    return f"{' and '.join(facts)} would be held", "\n".join([*lines, ""])


def _causes(held: Sequence[EarlyVerdict]) -> list[str]:
    """Return what keeps hours back, a line for each cause and project, the most first."""
    piles: dict[tuple[str, str], list[EarlyVerdict]] = {}
    for each in held:
        for cause in each.reasons:
            if cause.severity in ("error", "park"):
                words = f"{cause.message} {cause.fix_hint}"
                piles.setdefault((each.project_code or "", words), []).append(each)
    largest = sorted(piles.items(), key=lambda pile: (-len(pile[1]), pile[0]))
    lines = [
        f"- {_where(project)}{_sum(alike)} h on {_days(alike)}: {words}"
        for (project, words), alike in largest[:_LINES_MAX]
    ]
    left_out = len(largest) - _LINES_MAX
    return lines if left_out <= 0 else [*lines, f"- and {left_out} more causes"]


def _where(project: str) -> str:
    return f"{project}, " if project else ""


def _days(alike: Sequence[EarlyVerdict]) -> str:
    days = sorted({each.work_date for each in alike})
    return f"{days[0]}" if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"


def _sum(alike: Sequence[EarlyVerdict]) -> str:
    return hours(sum(each.seconds for each in alike))
