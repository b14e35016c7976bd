"""Rates of exchange as of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from psycopg import Connection

from tieline.runtime.database import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRate:
    """What one unit of a currency is worth in another from a day on, and who says so."""

    from_currency: str
    to_currency: str
    factor: Decimal
    source: str
    starts_on: date


def list_exchange_rates(
    connection: Connection[Row], *, to_currency: str, on_date: date, known_at: datetime
) -> tuple[ExchangeRate, ...]:
    """Return what each currency is worth in one of them on a day, by what was known at an instant."""
    rows = connection.execute(
        """
        SELECT from_currency, to_currency, factor, source, starts_on FROM fx_rate
        WHERE to_currency = %s AND daterange(starts_on, ends_on) @> %s
          AND recorded_at <= %s AND (superseded_at IS NULL OR superseded_at > %s)
        ORDER BY from_currency
        """,
        (to_currency, on_date, known_at, known_at),
    ).fetchall()
    return tuple(ExchangeRate(**row) for row in rows)
