"""Tell each owner once a day what waits for them, and every four hours on the last day before a cut-off.

Pattern: scheduled; one transaction per legal entity and round. Nothing to say is no message. Vendor
calls: none; what is written is sent by ``services/messaging.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection

from tieline.casework import OwedCase, list_owed, sum_owed
from tieline.notices import Message, begin_round
from tieline.runtime.database import Database
from tieline.services.escalating import LAST_DAY_SECONDS
from tieline.services.message_desk import Desk
from tieline.services.message_text import Deadline, Pile, write_digest

_LAST_DAY_EVERY_SECONDS = 4 * 3600
# Longer than a day, so that a link still leads somewhere when the next one comes late.
_USEFUL = timedelta(hours=30)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One digest of the owners of one legal entity.

    ``occasion`` is the entity's; ``said_as`` what all entities at the same hour share, so that an
    owner in two of them is told once.
    """

    entity_code: str
    zone: str
    occasion: str
    said_as: str
    period_id: UUID | None


def digest(
    database: Database,
    *,
    desk: Desk,
    zones: Mapping[str, str],
    deadlines: Sequence[Deadline],
    hour: int,
) -> int:
    """Write the digests that are due; return how many rounds were made."""
    last_days = {
        each.entity_code: each
        for each in deadlines
        if each.left_seconds(desk.now) <= LAST_DAY_SECONDS
    }
    told = 0
    for entity_code, zone in zones.items():
        due = _due(entity_code, zone, last_days.get(entity_code), desk=desk, hour=hour)
        if due is not None:
            with database.transaction() as connection:
                told += _tell(connection, desk=desk, due=due, zones=zones, last_days=last_days)
    return told


def _due(
    entity_code: str, zone: str, last_day: Deadline | None, *, desk: Desk, hour: int
) -> Round | None:
    if last_day is not None:
        every = _LAST_DAY_EVERY_SECONDS
        before = -(-last_day.left_seconds(desk.now) // every) * every
        since = last_day.cut_off_at - timedelta(seconds=before)
        return Round(
            entity_code=entity_code,
            zone=zone,
            occasion=f"digest:{entity_code}:{since:%Y%m%dT%H%M}",
            said_as=f"digest:{since:%Y%m%dT%H%M}",
            period_id=last_day.period_id,
        )
    local = desk.now.astimezone(ZoneInfo(zone))
    if local.hour < hour:
        return None
    return Round(
        entity_code=entity_code,
        zone=zone,
        occasion=f"digest:{entity_code}:{local:%Y-%m-%d}",
        said_as=f"digest:{local:%Y-%m-%d}",
        period_id=None,
    )


def _tell(
    connection: Connection[Row],
    *,
    desk: Desk,
    due: Round,
    zones: Mapping[str, str],
    last_days: Mapping[str, Deadline],
) -> bool:
    if not begin_round(connection, occasion=due.occasion, now=desk.now):
        return False
    day = desk.day_in(due.zone)
    owners = desk.by_owner(
        list_owed(connection, now=desk.now, cut_off=None), day=day, is_urgent=False
    )
    concerned = {
        owner: cases for owner, cases in owners.items() if _is_concerned(cases, due, last_days)
    }
    piles = {
        (owner, number): pile
        for owner, cases in concerned.items()
        for number, pile in enumerate(_by_deadline(cases))
    }
    worths = sum_owed(
        connection,
        owners={
            **concerned,
            **{f"{owner}|{number}": cases for (owner, number), cases in piles.items()},
        },
    )
    for owner, cases in concerned.items():
        subject, body = write_digest(
            owner=owner,
            piles=[
                Pile(
                    due_at=pile[0].due_at,
                    entity_code=pile[0].entity_code,
                    zone=zones.get(pile[0].entity_code or "", due.zone),
                    cases=pile,
                    worth=worths[f"{owner}|{number}"],
                )
                for (whose, number), pile in piles.items()
                if whose == owner
            ],
            worth=worths[owner],
            now=desk.now,
            speech=desk.speech,
        )
        entities = {case.entity_code for case in cases}
        desk.write(
            connection,
            message=Message(
                kind="digest",
                occasion=due.said_as,
                owner=owner,
                is_urgent=False,
                entity_code=entities.pop() if len(entities) == 1 else None,
                period_id=due.period_id,
                case_ids=tuple(case.case_id for case in cases),
                covers_waiting=False,
                subject=subject,
                body=body,
                due_at=None,
                useful_until=desk.now + _USEFUL,
            ),
            reached=desk.directory.of_owner(owner, day=day, is_urgent=False),
            correlation_id=due.occasion,
        )
    return True


def _is_concerned(cases: Sequence[OwedCase], due: Round, last_days: Mapping[str, Deadline]) -> bool:
    entities = {case.entity_code for case in cases}
    # Whoever is told every four hours today is not told once a day beside it.
    if due.period_id is None and entities & set(last_days):
        return False
    return bool(entities & {due.entity_code, None})


def _by_deadline(cases: Sequence[OwedCase]) -> list[list[OwedCase]]:
    piles: dict[tuple[Any, ...], list[OwedCase]] = {}
    for case in cases:
        piles.setdefault((case.due_at, case.entity_code), []).append(case)
    return [
        piles[key]
        for key in sorted(
            piles,
            key=lambda key: (key[0] is None, key[0] and key[0].timestamp(), key[1] or ""),
        )
    ]
