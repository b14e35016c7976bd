"""Close a fiscal period, which lists what is in flight first, or open it again: two people do it.

Pattern: proposed by one person, carried out by the approval of another; one transaction each. Vendor
calls: none, and none to the ERP, whose own period its people close. The period's row is locked before
anything is counted, so that no write begins between the list and the close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import Connection

from tieline.governance import Proposal, list_proposals, propose, record_audit
from tieline.kernel.errors import UserMistake
from tieline.runtime.outbox import publish

UNCONFIRMED = "unconfirmed"
CLOSE, REOPEN = "period.close", "period.reopen"
PERIODS_PAGE_MAX = 240
_COMPLETE = "complete"
_OPEN, _CLOSED = "open", "closed"
# In the words of a sentence; the same kinds stand in the SQL that counts them.
MOVING: Mapping[str, str] = {
    UNCONFIRMED: "sent and not confirmed",
    "pending": "waiting to be sent",
    "leaving": "being taken back",
    "held": "in need of attention",
    "handed_over": "given to finance as a file",
    "released": "released and not invoiced",
}
_SECONDS_PER_HOUR = 3600

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One fiscal period of a legal entity."""

    period_id: UUID
    entity_code: str
    period_code: str
    starts_on: date
    ends_on: date
    cut_off_at: datetime
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What of one kind still moves in a period: unconfirmed, pending, leaving, held or released."""

    what: str
    items: int
    seconds: int
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """A period that is open again, and what was booked into it since, in one currency."""

    period_id: UUID
    entity_code: str
    period_code: str
    opened_at: datetime
    opened_by: str
    because: str | None
    until_on: date | None
    currency: str | None
    lines: int
    seconds: int
    amount: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodClosed:
    """The period takes no more hours; ``left_behind`` is what was said to stay out of it."""

    period_id: UUID
    left_behind: tuple[InFlight, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodBusy:
    """The period stays open: these must settle, or be left behind with a reason."""

    period_id: UUID
    in_flight: tuple[InFlight, ...]


def list_periods(
    connection: Connection[Row],
    *,
    entity_code: str | None = None,
    period_code: str | None = None,
    begun_by: date | None = None,
    limit: int = PERIODS_PAGE_MAX,
) -> tuple[Period, ...]:
    """List the fiscal periods in sight, the newest first; ``begun_by`` leaves later ones out."""
    rows = connection.execute(
        """
        SELECT period_id, entity_code, period_code, starts_on, ends_on, cut_off_at, state
        FROM fiscal_period
        WHERE (%(entity_code)s::text IS NULL OR entity_code = %(entity_code)s)
          AND (%(period_code)s::text IS NULL OR period_code = %(period_code)s)
          AND (%(begun_by)s::date IS NULL OR starts_on <= %(begun_by)s)
        ORDER BY starts_on DESC, entity_code LIMIT %(limit)s
        """,
        {
            "entity_code": entity_code,
            "period_code": period_code,
            "begun_by": begun_by,
            "limit": min(limit, PERIODS_PAGE_MAX),
        },
    ).fetchall()
    return tuple(Period(**row) for row in rows)


def get_period(connection: Connection[Row], *, period_id: UUID) -> Period:
    """Return one period.

    :raises LookupError: there is none in sight.
    """
    row = connection.execute(
        "SELECT period_id, entity_code, period_code, starts_on, ends_on, cut_off_at, state"
        " FROM fiscal_period WHERE period_id = %s",
        (period_id,),
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no period {period_id}")
    return Period(**row)


def list_in_flight(connection: Connection[Row], *, period_id: UUID) -> tuple[InFlight, ...]:
    """Return what still moves in a period; its row stays locked until the transaction ends.

    :raises LookupError: there is no such period in sight.
    """
    return _moving(connection, period_id, "SELECT * FROM period_in_flight(%s)")


def look_in_flight(connection: Connection[Row], *, period_id: UUID) -> tuple[InFlight, ...]:
    """Return what still moves in a period, for somebody who only looks: nothing is held back.

    :raises LookupError: there is no such period in sight.
    """
    return _moving(connection, period_id, "SELECT * FROM period_moving(%s)")


def tell_in_flight(in_flight: Sequence[InFlight]) -> str:
    """Say in one line what still moves."""
    return ", ".join(
        f"{each.items} {MOVING[each.what]} ({Decimal(each.seconds) / _SECONDS_PER_HOUR:.2f} h)"
        for each in in_flight
    )


# -- asked for by one person -----------------------------------------------------------------------


def propose_close(
    connection: Connection[Row],
    *,
    period_id: UUID,
    reason: str,
    by: str,
    now: datetime,
    through: str = "",
) -> Proposal:
    """Ask that a period be closed; without a reason only one in which nothing moves.

    :raises LookupError: there is no such period in sight.
    :raises UserMistake: it is closed, was proposed already, or something moves in it.
    """
    period = get_period(connection, period_id=period_id)
    _must_be(connection, period, state=_OPEN, kind=CLOSE)
    in_flight = look_in_flight(connection, period_id=period_id)
    told = tell_in_flight(in_flight)
    if any(each.what == UNCONFIRMED for each in in_flight):
        raise UserMistake(f"{_named(period)} cannot be closed before the ERP has answered: {told}")
    if in_flight and not reason.strip():
        raise UserMistake(f"{_named(period)} is not complete: {told}; say why it stays behind")
    return propose(
        connection,
        kind=CLOSE,
        object=f"period:{period_id}",
        entity_code=period.entity_code,
        payload={
            "period_id": str(period_id),
            "period_code": period.period_code,
            "in_flight": {f"{one.what} {one.currency or ''}": one.seconds for one in in_flight},
            "told": told,
        },
        by=by,
        reason=reason.strip() or _COMPLETE,
        now=now,
        through=through,
    )


def propose_reopen(
    connection: Connection[Row],
    *,
    period_id: UUID,
    reason: str,
    by: str,
    now: datetime,
    through: str = "",
    until_on: date | None = None,
) -> Proposal:
    """Ask that a closed period be opened again; ``until_on`` is the last day it should be open.

    :raises LookupError: there is no such period in sight.
    :raises UserMistake: it is open, was proposed already, no reason is given, or the day is over.
    """
    period = get_period(connection, period_id=period_id)
    _must_be(connection, period, state=_CLOSED, kind=REOPEN)
    if until_on is not None and until_on < now.date():
        raise UserMistake(f"{until_on} is over: until when should {_named(period)} be open?")
    return propose(
        connection,
        kind=REOPEN,
        object=f"period:{period_id}",
        entity_code=period.entity_code,
        payload={
            "period_id": str(period_id),
            "period_code": period.period_code,
            "until_on": until_on.isoformat() if until_on else None,
        },
        by=by,
        reason=reason,
        now=now,
        through=through,
    )


# -- carried out by the approval of another --------------------------------------------------------


def carry_out_close(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Close the period of an approved proposal; return how many things stay behind.

    :raises UserMistake: more moves in it than the proposal said.
    """
    assert proposal.approved_by is not None
    period = get_period(connection, period_id=UUID(proposal.payload["period_id"]))
    in_flight = list_in_flight(connection, period_id=period.period_id)
    # The second person agreed to what the first one saw; what settled since is no matter.
    agreed: Mapping[str, int] = proposal.payload["in_flight"]
    if any(
        each.seconds > agreed.get(f"{each.what} {each.currency or ''}", -1) for each in in_flight
    ):
        raise UserMistake(
            f"more moves in {_named(period)} than when its close was proposed:"
            f" {tell_in_flight(in_flight)}; turn it down, look again and propose it anew"
        )
    done = close_period(
        connection,
        period_id=period.period_id,
        proposed_by=proposal.proposed_by,
        approved_by=proposal.approved_by,
        leave_reason=proposal.reason,
        now=now,
    )
    if isinstance(done, PeriodBusy):
        told = tell_in_flight(done.in_flight)
        raise UserMistake(f"{_named(period)} cannot be closed: {told}")
    return sum(each.items for each in done.left_behind)


def carry_out_reopen(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Open the period of an approved proposal again; return that it is one."""
    assert proposal.approved_by is not None
    until = proposal.payload.get("until_on")
    reopen_period(
        connection,
        period_id=UUID(proposal.payload["period_id"]),
        until_on=date.fromisoformat(until) if until else None,
        proposed_by=proposal.proposed_by,
        approved_by=proposal.approved_by,
        reason=proposal.reason,
        now=now,
    )
    return 1


def close_period(
    connection: Connection[Row],
    *,
    period_id: UUID,
    proposed_by: str,
    approved_by: str,
    leave_reason: str | None,
    now: datetime,
) -> PeriodClosed | PeriodBusy:
    """Close a period, unless something moves in it that nobody agreed to leave behind.

    What is sent and not confirmed may still appear in it, so that no reason passes over it.

    :raises UserMistake: one person did both, or the period is closed already.
    """
    _must_be_two(proposed_by, approved_by, what="close")
    in_flight = list_in_flight(connection, period_id=period_id)
    is_unconfirmed = any(each.what == UNCONFIRMED for each in in_flight)
    if in_flight and (is_unconfirmed or not (leave_reason or "").strip()):
        return PeriodBusy(period_id=period_id, in_flight=in_flight)
    _move(
        connection,
        period_id=period_id,
        to=_CLOSED,
        proposed_by=proposed_by,
        approved_by=approved_by,
        reason=leave_reason or _COMPLETE,
        left_behind={each.what: each.seconds for each in in_flight},
        now=now,
    )
    return PeriodClosed(period_id=period_id, left_behind=in_flight)


def reopen_period(
    connection: Connection[Row],
    *,
    period_id: UUID,
    proposed_by: str,
    approved_by: str,
    reason: str,
    now: datetime,
    until_on: date | None = None,
) -> None:
    """Open a closed period again after a second person agreed; what it held is judged again.

    Nothing closes it by itself; whoever looks sees until when it was to be open, and what came in.

    :raises UserMistake: one person did both, no reason is given, or the period is open.
    """
    _must_be_two(proposed_by, approved_by, what="reopen")
    if not reason.strip():
        raise UserMistake("say why the period is opened again")
    _move(
        connection,
        period_id=period_id,
        to=_OPEN,
        proposed_by=proposed_by,
        approved_by=approved_by,
        reason=reason,
        left_behind={},
        now=now,
        until_on=until_on,
    )
    connection.execute("SELECT note_reopening(%s, %s, %s)", (period_id, reason, until_on))


def list_reopened(connection: Connection[Row]) -> tuple[Reopened, ...]:
    """List the periods that are open again, with what came in since, one row per currency."""
    rows = connection.execute("SELECT * FROM page_reopened()").fetchall()
    return tuple(Reopened(**row) for row in rows)


def _moving(
    connection: Connection[Row], period_id: UUID, statement: LiteralString
) -> tuple[InFlight, ...]:
    try:
        rows = connection.execute(statement, (period_id,)).fetchall()
    except psycopg.errors.NoDataFound as error:
        raise LookupError(f"there is no period {period_id}") from error
    return tuple(InFlight(**row) for row in rows)


def _must_be_two(proposed_by: str, approved_by: str, *, what: str) -> None:
    if proposed_by.casefold() == approved_by.casefold():
        raise UserMistake(f"{proposed_by} proposed to {what} the period and may not approve it")


def _must_be(connection: Connection[Row], period: Period, *, state: str, kind: str) -> None:
    if period.state != state:
        raise UserMistake(f"{_named(period)} is {period.state} already")
    for waiting in list_proposals(connection, kind=kind, object=f"period:{period.period_id}"):
        raise UserMistake(f"{waiting.proposed_by} has proposed it already")


def _named(period: Period) -> str:
    return f"period {period.period_code} of {period.entity_code}"


def _move(
    connection: Connection[Row],
    *,
    period_id: UUID,
    to: str,
    proposed_by: str,
    approved_by: str,
    reason: str,
    left_behind: Mapping[str, int],
    now: datetime,
    until_on: date | None = None,
) -> None:
    row = connection.execute(
        "SELECT move_period(%s, %s, %s, %s) AS has_moved", (period_id, to, approved_by, now)
    ).fetchone()
    assert row is not None
    if not row["has_moved"]:
        raise UserMistake(f"period {period_id} is {to} already")
    period = get_period(connection, period_id=period_id)
    record_audit(
        connection,
        now=now,
        actor=approved_by,
        action="period.closed" if to == _CLOSED else "period.reopened",
        object=f"period:{period_id}",
        entity_code=period.entity_code,
        reason=reason,
        data={"proposed_by": proposed_by, **left_behind},
    )
    publish(
        connection,
        type="period.closed" if to == _CLOSED else "period.reopened",
        subject_kind="period",
        subject_id=str(period_id),
        entity_code=period.entity_code,
        occurred_at=now,
        recorded_at=now,
        correlation_id=f"period:{period_id}",
        data={
            "period_code": period.period_code,
            **left_behind,
            **({"until_on": until_on.isoformat()} if until_on else {}),
        },
    )
