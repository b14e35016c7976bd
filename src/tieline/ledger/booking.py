"""Turn verdicts into planned effects and confirmed effects into ledger lines, set by set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection, Cursor, sql

from tieline.runtime.sql import load

_PLAN_BOOKINGS = load("tieline.ledger", "plan_bookings")
_PLAN_VOIDS = load("tieline.ledger", "plan_voids")
_REFRESH = load("tieline.ledger", "refresh_plans")
_WITHDRAW = load("tieline.ledger", "withdraw_stale")
_NOTE_CHANGES = load("tieline.ledger", "note_changes")
_PROPOSE_CREDITS = load("tieline.ledger", "propose_credits")
_WITHDRAW_CREDITS = load("tieline.ledger", "withdraw_credits")
# A known set is looked up by its ids, and hour by hour what became of each: a planner that expects few held each hour
# that changed against all that it was asked about. Only the safety net reads every entry, the few that changed first.
_OF_EVERY_ENTRY = "true"
_THEIR_VERDICTS = "JOIN verdict v ON v.verdict_id = t.verdict_id"
_OF_THESE_ENTRIES = "t.entry_id = ANY (%(entry_ids)s::uuid[])"
_THESE_VERDICTS = (
    "CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = t.verdict_id OFFSET 0) v"
)
_BOOK = load("tieline.ledger", "book_confirmed")
_CONFIRM = load("tieline.ledger", "confirm_lines")
_WEIGH = load("tieline.ledger", "weigh_scopes")
_REVERSE = load("tieline.ledger", "reverse_voided")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeWeight:
    """How urgent the open lines of one target, entity and period are.

    ``value_at_risk`` adds currencies at par: it orders work and is told to nobody.
    """

    target_connection: str
    entity_code: str
    period_id: UUID
    work_class: int
    deadline_at: datetime
    value_at_risk: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What one planning pass added: bookings, voids, and plans that were overtaken.

    ``scopes`` now have work; what each is worth is what this pass added.
    """

    bookings: int
    voids: int
    withdrawn: int
    scopes: tuple[ScopeWeight, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedLine:
    """What the target showed of one line of its so many-th attempt: as it was sent, or altered."""

    business_key: UUID
    attempt: int
    target_code: str
    target_seconds: int
    stored_hash: str
    is_altered: bool


def plan(
    connection: Connection[dict[str, Any]],
    *,
    entry_ids: Sequence[UUID] | None,
    now: datetime,
) -> Booked:
    """Plan what the newest verdicts ask for and the target does not hold yet.

    A fixpoint: planning twice plans nothing twice. ``entry_ids`` None means every entry.
    """

    def run(statement: str) -> Cursor[dict[str, Any]]:
        text = statement.replace("{of_entries}", of_entries).replace("{verdicts}", verdicts)
        # Planned anew each time: a plan made for a small table is ruinous for a large one.
        return connection.execute(sql.SQL(text), values, prepare=False)

    if entry_ids is not None and not entry_ids:
        return Booked(bookings=0, voids=0, withdrawn=0, scopes=())
    values: dict[str, Any] = {"now": now}
    of_entries, verdicts = _OF_EVERY_ENTRY, _THEIR_VERDICTS
    if entry_ids is not None:
        # Written once: each of the statements is given the same thousands of them.
        of_entries, verdicts = _OF_THESE_ENTRIES, _THESE_VERDICTS
        values["entry_ids"] = f"{{{','.join(map(str, entry_ids))}}}"
    run(_REFRESH)
    withdrawn = run(_WITHDRAW).rowcount
    run(_NOTE_CHANGES)
    run(_WITHDRAW_CREDITS)
    run(_PROPOSE_CREDITS)
    voids = run(_PLAN_VOIDS).fetchall()
    bookings = run(_PLAN_BOOKINGS).fetchall()
    counts = [sum(row.pop("lines") for row in rows) for rows in (bookings, voids)]
    scopes: dict[tuple[str, str, UUID], ScopeWeight] = {}
    for row in [*voids, *bookings]:
        key = (row["target_connection"], row["entity_code"], row["period_id"])
        worth = row.pop("value_at_risk") or Decimal(0)
        before = scopes.get(key)
        scopes[key] = ScopeWeight(
            **row, value_at_risk=worth if before is None else before.value_at_risk + worth
        )
    return Booked(
        bookings=counts[0],
        voids=counts[1],
        withdrawn=withdrawn,
        scopes=tuple(scopes[key] for key in sorted(scopes, key=str)),
    )


def weigh(connection: Connection[dict[str, Any]], *, now: datetime) -> list[ScopeWeight]:
    """Return every scope that has open lines for a target that acts, with how urgent it is now."""
    rows = connection.execute(_WEIGH, {"now": now}).fetchall()
    return [ScopeWeight(**row) for row in rows]


def confirm(
    connection: Connection[dict[str, Any]],
    *,
    lines: Sequence[ConfirmedLine],
    state: str,
    now: datetime,
) -> int:
    """Confirm what still is in this state of its attempt, and book it; return how many lines."""
    if not lines:
        return 0
    # Of most batches nothing was altered, and there is nothing to tell of any line.
    altered = any(line.is_altered for line in lines) or None
    return connection.execute(
        _CONFIRM,
        {
            "keys": [line.business_key for line in lines],
            "attempts": [line.attempt for line in lines],
            "codes": [line.target_code for line in lines],
            "seconds": altered
            and [line.target_seconds if line.is_altered else None for line in lines],
            "hashes": altered and [line.stored_hash if line.is_altered else None for line in lines],
            "state": state,
            "now": now,
        },
    ).rowcount


def book(
    connection: Connection[dict[str, Any]],
    *,
    business_keys: Sequence[UUID],
    target_seconds: Sequence[int],
    now: datetime,
    via_file_id: UUID | None = None,
) -> int:
    """Book ledger lines for effects that were just confirmed; return how many.

    ``target_seconds`` is what the target stored for each key, 0 for a void; ``via_file_id`` names
    the file from which people loaded them.
    """
    values = {
        "keys": list(business_keys),
        "target_seconds": list(target_seconds),
        "now": now,
        "via_file_id": via_file_id,
    }
    booked = connection.execute(_BOOK, values).rowcount
    reversed_lines = connection.execute(_REVERSE, values).fetchone()
    assert reversed_lines is not None
    return booked + int(reversed_lines["lines"])
