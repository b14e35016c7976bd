"""The desk at which messages are written: who owns which cases, and where each is reached."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection

from tieline.casework import OwedCase
from tieline.kernel.errors import UserMistake
from tieline.notices import (
    ALL_STAFF,
    Directory,
    Message,
    Reached,
    person_owner,
    queue_owner,
    staff_owner,
    write_notices,
)
from tieline.runtime.work import CUT_OFF, schedule
from tieline.services.message_text import Deadline, Speech

SEND_NOTICE = "send_notice"
_REMINDER = "reminder"
# Nobody is reminded of the day before yesterday.
_REMINDER_USEFUL = timedelta(hours=30)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Write messages and ask that they be sent, in one transaction."""

    speech: Speech
    directory: Directory
    now: datetime
    link_key: bytes = field(repr=False)
    pepper: bytes = field(repr=False)

    def day_in(self, zone: str) -> date:
        """Return the civil date of a zone now."""
        return self.now.astimezone(ZoneInfo(zone)).date()

    def by_owner(
        self, cases: Sequence[OwedCase], *, day: date, is_urgent: bool
    ) -> dict[str, list[OwedCase]]:
        """Return cases by who is told: who was given them, sees them and is reached, else the queue."""
        owners: dict[str, list[OwedCase]] = {}
        for case in cases:
            owner = queue_owner(case.owner_queue)
            if case.assigned_to is not None:
                person = person_owner(case.assigned_to)
                if self.directory.sees(person, case.entity_code) and self.directory.of_owner(
                    person, day=day, is_urgent=is_urgent
                ):
                    owner = person
            owners.setdefault(owner, []).append(case)
        return owners

    def write(
        self,
        connection: Connection[Row],
        *,
        message: Message,
        reached: Sequence[Reached],
        correlation_id: str,
    ) -> bool:
        """Keep a message for each place, and have it sent; who wants urgent ones only gets no others.

        False where nothing is to be sent, such as what was said before.
        """
        if not reached and self._is_reached(message.owner):
            return False
        written = write_notices(
            connection,
            message=message,
            reached=reached,
            link_key=self.link_key,
            pepper=self.pepper,
            now=self.now,
        )
        for notice_key in written:
            schedule(
                connection,
                kind=SEND_NOTICE,
                subject=str(notice_key),
                work_class=CUT_OFF,
                correlation_id=correlation_id,
                deadline=message.due_at,
            )
        return bool(written)

    def reaches_staff(self) -> bool:
        """Say whether a channel brings messages to people of the staffing file."""
        return bool(self.directory.of_owner(ALL_STAFF, day=self.now.date(), is_urgent=False))

    def refuse_unreached_staff(self) -> None:
        """Stop where nobody of the staffing file could be told.

        :raises UserMistake: no channel brings messages to them.
        """
        if not self.reaches_staff():
            raise UserMistake(
                "no channel brings messages to people of the staffing file:"
                f" tieline people reach {ALL_STAFF} --channel NAME"
            )

    def remind(
        self,
        connection: Connection[Row],
        *,
        person_id: UUID,
        occasion: str,
        entities: Collection[str | None],
        subject: str,
        body: str,
        due_at: datetime | None,
        correlation_id: str,
    ) -> bool:
        """Write to somebody of the staffing file; False where it was said on that occasion, or nobody is reached."""
        owner = staff_owner(person_id)
        return self.write(
            connection,
            message=Message(
                kind=_REMINDER,
                occasion=occasion,
                owner=owner,
                is_urgent=False,
                entity_code=next(iter(entities)) if len(entities) == 1 else None,
                period_id=None,
                case_ids=(),
                covers_waiting=False,
                subject=subject,
                body=body,
                due_at=due_at,
                useful_until=self.now + _REMINDER_USEFUL,
            ),
            reached=self.directory.of_owner(owner, day=self.now.date(), is_urgent=False),
            correlation_id=correlation_id,
        )

    def _is_reached(self, owner: str) -> bool:
        return bool(self.directory.of_owner(owner, day=self.now.date(), is_urgent=True))


def read_zones(connection: Connection[Row]) -> Mapping[str, str]:
    """Return the zone of each legal entity."""
    rows = connection.execute("SELECT entity_code, zone FROM legal_entity ORDER BY 1").fetchall()
    return {row["entity_code"]: row["zone"] for row in rows}


def read_deadlines(connection: Connection[Row], *, now: datetime) -> tuple[Deadline, ...]:
    """Return the next cut-off of each legal entity that has one."""
    rows = connection.execute(
        """
        SELECT DISTINCT ON (f.entity_code) f.period_id, f.entity_code, e.name, e.zone, f.period_code,
               f.cut_off_at
        FROM fiscal_period f JOIN legal_entity e USING (entity_code)
        WHERE f.state = 'open' AND f.cut_off_at > %s ORDER BY f.entity_code, f.cut_off_at
        """,
        (now,),
    ).fetchall()
    return tuple(Deadline(**row) for row in rows)
