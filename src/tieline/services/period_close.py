"""Close a fiscal period, which lists what is in flight first, or open it again with a second person.

Pattern: asked for by a person; one transaction. Vendor calls: none. The period's row is locked before
anything is counted, so that no write begins between the list and the close.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import record_audit
from tieline.kernel.errors import UserMistake

UNCONFIRMED = "unconfirmed"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What of one kind still moves in a period: unconfirmed, pending, leaving, held or released."""

    what: str
    items: int
    seconds: int
    amount: Decimal | None
    currency: str | None


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


def list_in_flight(connection: Connection[Row], *, period_id: UUID) -> tuple[InFlight, ...]:
    """Return what still moves in a period; its row stays locked until the transaction ends."""
    rows = connection.execute("SELECT * FROM period_in_flight(%s)", (period_id,)).fetchall()
    return tuple(InFlight(**row) for row in rows)


def close_period(
    connection: Connection[Row],
    *,
    period_id: UUID,
    by: str,
    leave_reason: str | None,
    now: datetime,
) -> PeriodClosed | PeriodBusy:
    """Close a period, unless something moves in it that nobody agreed to leave behind.

    What is sent and not confirmed may still appear in it, so that no reason passes over it.

    :raises UserMistake: the period is closed already.
    """
    in_flight = list_in_flight(connection, period_id=period_id)
    is_unconfirmed = any(each.what == UNCONFIRMED for each in in_flight)
    if in_flight and (is_unconfirmed or not (leave_reason or "").strip()):
        return PeriodBusy(period_id=period_id, in_flight=in_flight)
    _move(connection, period_id=period_id, to="closed", by=by, now=now)
    _audit(
        connection,
        period_id=period_id,
        action="period.closed",
        by=by,
        reason=leave_reason or "complete",
        data={each.what: each.seconds for each in in_flight},
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
) -> None:
    """Open a closed period again after a second person agreed; what it held is judged again.

    :raises UserMistake: one person did both, no reason is given, or the period is open.
    """
    if proposed_by.casefold() == approved_by.casefold():
        raise UserMistake(f"{proposed_by} proposed to reopen the period and may not approve it")
    if not reason.strip():
        raise UserMistake("say why the period is opened again")
    _move(connection, period_id=period_id, to="open", by=approved_by, now=now)
    _audit(
        connection,
        period_id=period_id,
        action="period.reopened",
        by=approved_by,
        reason=reason,
        data={"proposed_by": proposed_by},
        now=now,
    )


def _move(connection: Connection[Row], *, period_id: UUID, to: str, by: str, now: datetime) -> None:
    row = connection.execute(
        "SELECT move_period(%s, %s, %s, %s) AS has_moved", (period_id, to, by, now)
    ).fetchone()
    assert row is not None
    if not row["has_moved"]:
        raise UserMistake(f"period {period_id} is {to} already")


def _audit(
    connection: Connection[Row],
    *,
    period_id: UUID,
    action: str,
    by: str,
    reason: str,
    data: Row,
    now: datetime,
) -> None:
    row = connection.execute(
        "SELECT entity_code FROM fiscal_period WHERE period_id = %s", (period_id,)
    ).fetchone()
    assert row is not None
    record_audit(
        connection,
        now=now,
        actor=by,
        action=action,
        object=f"period:{period_id}",
        entity_code=row["entity_code"],
        reason=reason,
        data=data,
    )
