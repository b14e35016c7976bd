"""Tell before each cut-off who stands in its way: three steps, each once, the newest due one only.

Pattern: scheduled; one transaction per legal entity and step, which the messages and their round share.
Vendor calls: none; what is written is sent by ``services/messaging.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from tieline.casework import CutOff, OwedCase, list_owed, sum_owed
from tieline.notices import (
    Acknowledged,
    Message,
    begin_round,
    queue_owner,
    read_acknowledged,
)
from tieline.posting.unconfirmed import Unconfirmed, list_unconfirmed
from tieline.runtime.database import Database
from tieline.services.message_desk import Desk
from tieline.services.message_text import (
    Deadline,
    Pile,
    write_escalation,
    write_page,
)
from tieline.services.period_close import UNCONFIRMED, InFlight, look_in_flight

STEPS_MINUTES = (60, 30, 10)
LAST_DAY_SECONDS = 24 * 3600
# What still waits has no case: those who run the connections can move it.
RUNNING = "integration"
_WAITING = (UNCONFIRMED, "pending", "leaving")
_UNCONFIRMED_SECONDS = 3600
_NOBODY_SAID = Acknowledged(case_ids=frozenset(), covers_waiting=False)

Row = dict[str, Any]


def escalate(database: Database, *, desk: Desk, deadlines: Sequence[Deadline]) -> int:
    """Write what is due before these cut-offs; return how many rounds were told of."""
    told = 0
    for deadline in deadlines:
        step = due_step(deadline.left_seconds(desk.now))
        if step is not None:
            with database.transaction() as connection:
                told += _tell_step(connection, desk=desk, deadline=deadline, step=step)
        if deadline.left_seconds(desk.now) <= LAST_DAY_SECONDS:
            with database.transaction() as connection:
                told += _page(connection, desk=desk, deadline=deadline)
    return told


def due_step(left_seconds: int) -> int | None:
    """Return the newest step that is due so long before a cut-off, None while none is."""
    due = [minutes for minutes in STEPS_MINUTES if 0 < left_seconds <= minutes * 60]
    return min(due, default=None)


def _tell_step(connection: Connection[Row], *, desk: Desk, deadline: Deadline, step: int) -> bool:
    occasion = f"cut_off:{_named(deadline)}:{step}"
    if not begin_round(connection, occasion=occasion, now=desk.now):
        return False
    day = desk.day_in(deadline.zone)
    threats = list_owed(
        connection,
        now=desk.now,
        cut_off=CutOff(
            period_id=deadline.period_id,
            entity_code=deadline.entity_code,
            cut_off_at=deadline.cut_off_at,
        ),
    )
    waiting = [
        each
        for each in look_in_flight(connection, period_id=deadline.period_id)
        if each.what in _WAITING
    ]
    known = read_acknowledged(connection, period_id=deadline.period_id)
    owners = desk.by_owner(threats, day=day, is_urgent=True)
    if waiting:
        owners.setdefault(queue_owner(RUNNING), [])
    news = {
        owner: [case for case in cases if case.case_id not in _known(known, owner).case_ids]
        for owner, cases in owners.items()
    }
    worths = sum_owed(connection, owners=news)
    for owner, cases in news.items():
        is_runner = owner == queue_owner(RUNNING) and not _known(known, owner).covers_waiting
        moving = waiting if is_runner else []
        if not cases and not moving:
            continue
        pile = Pile(
            due_at=deadline.cut_off_at,
            entity_code=deadline.entity_code,
            zone=deadline.zone,
            cases=cases,
            worth=worths[owner],
        )
        desk.write(
            connection,
            message=_message(
                occasion,
                owner,
                pile=pile,
                waiting=moving,
                seen=len(owners[owner]) - len(cases),
                desk=desk,
                deadline=deadline,
            ),
            reached=desk.directory.of_owner(owner, day=day, is_urgent=True),
            correlation_id=occasion,
        )
    return True


def _message(
    occasion: str,
    owner: str,
    *,
    pile: Pile,
    waiting: Sequence[InFlight],
    seen: int,
    desk: Desk,
    deadline: Deadline,
) -> Message:
    subject, body = write_escalation(
        owner=owner,
        deadline=deadline,
        pile=pile,
        waiting=waiting,
        seen=seen,
        now=desk.now,
        speech=desk.speech,
    )
    return Message(
        kind="escalation",
        occasion=occasion,
        owner=owner,
        is_urgent=True,
        entity_code=deadline.entity_code,
        period_id=deadline.period_id,
        case_ids=_ids(pile.cases),
        covers_waiting=bool(waiting),
        subject=subject,
        body=body,
        due_at=deadline.cut_off_at,
        useful_until=deadline.cut_off_at,
    )


def _page(connection: Connection[Row], *, desk: Desk, deadline: Deadline) -> int:
    """Tell whoever is on call of writes that nobody answered for an hour, once per target."""
    told = 0
    for found in list_unconfirmed(
        connection,
        entity_code=deadline.entity_code,
        period_id=deadline.period_id,
        older_seconds=_UNCONFIRMED_SECONDS,
    ):
        occasion = f"unconfirmed:{found.target_connection}:{_named(deadline)}"
        if not begin_round(connection, occasion=occasion, now=desk.now):
            continue
        desk.write(
            connection,
            message=_page_message(occasion, found, desk=desk, deadline=deadline),
            reached=desk.directory.on_call(RUNNING, day=desk.day_in(deadline.zone)),
            correlation_id=occasion,
        )
        told += 1
    return told


def _page_message(occasion: str, found: Unconfirmed, *, desk: Desk, deadline: Deadline) -> Message:
    subject, body = write_page(deadline=deadline, found=found, now=desk.now, speech=desk.speech)
    return Message(
        kind="unconfirmed",
        occasion=occasion,
        owner=queue_owner(RUNNING),
        is_urgent=True,
        entity_code=deadline.entity_code,
        period_id=deadline.period_id,
        case_ids=(),
        covers_waiting=False,
        subject=subject,
        body=body,
        due_at=deadline.cut_off_at,
        useful_until=deadline.cut_off_at,
    )


def _named(deadline: Deadline) -> str:
    # A cut-off that is moved is another one.
    return f"{deadline.period_id}:{deadline.cut_off_at:%Y%m%dT%H%M}"


def _known(known: dict[str, Acknowledged], owner: str) -> Acknowledged:
    return known.get(owner, _NOBODY_SAID)


def _ids(cases: Sequence[OwedCase]) -> tuple[Any, ...]:
    return tuple(case.case_id for case in cases)
