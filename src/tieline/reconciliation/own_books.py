"""Check our own books against themselves: one statement per check, over all of them, at any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection, sql

from tieline.runtime.sql import load

_FOUND_MAX = 1000
_SUMMARY = load("tieline.reconciliation", "own_summary")
_SUMS = load("tieline.reconciliation", "currency_sums")
# By the reason under which an incident stands.
OWN_CHECKS: Mapping[str, str] = {
    "check.ledger": load("tieline.reconciliation", "own_ledger"),
    "check.sent": load("tieline.reconciliation", "own_effects"),
    "check.once": load("tieline.reconciliation", "own_twice"),
    "check.hours": load("tieline.reconciliation", "own_hours"),
    "check.open": load("tieline.reconciliation", "own_open"),
    "check.used": load("tieline.reconciliation", "own_used"),
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a check found in one scope; None stands for every one, ``keys`` are the first of the things."""

    source_connection: str | None
    target_connection: str | None
    entity_code: str | None
    period_id: UUID | None
    project_id: UUID | None
    said: str
    currency: str | None
    things: int
    seconds: int
    amount: Decimal
    keys: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrencySum:
    """What was confirmed in one place and currency, and what the ledger holds of it."""

    target_connection: str
    entity_code: str
    period_code: str | None
    currency: str | None
    confirmed_seconds: int
    ledger_seconds: int
    confirmed_amount: Decimal
    ledger_amount: Decimal


def look_at_own_books(connection: Connection[Row], *, check: str) -> tuple[Found, ...]:
    """Make one of ``OWN_CHECKS``; return what is wrong, the most first."""
    text = _SUMMARY.replace("{check}", OWN_CHECKS[check])
    rows = connection.execute(sql.SQL(text), {"limit": _FOUND_MAX}, prepare=False).fetchall()
    return tuple(Found(**{**row, "keys": tuple(row["keys"])}) for row in rows)


def sum_currencies(connection: Connection[Row]) -> tuple[CurrencySum, ...]:
    """Add up what was confirmed and what the ledger holds, never across currencies."""
    return tuple(CurrencySum(**row) for row in connection.execute(_SUMS).fetchall())
