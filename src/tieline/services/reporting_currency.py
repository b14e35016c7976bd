"""Say what amounts of several currencies come to in the one that a firm reports in.

Pattern: read with the page that tells it. Vendor calls: none. Amounts stay in their currencies and are added
nowhere else: this sum is only told, with every rate, its day and its source, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from psycopg import Connection

from tieline.kernel.money import Money, currency_digits, round_half_up
from tieline.register import ExchangeRate, list_exchange_rates
from tieline.runtime.database import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingRates:
    """The currency a firm reports in, and what the others are worth in it on a day."""

    currency: str
    on_date: date
    rates: Mapping[str, ExchangeRate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What amounts come to; ``total`` is None where a rate is ``missing``."""

    currency: str
    on_date: date
    total: Money | None
    rates: tuple[ExchangeRate, ...]
    missing: tuple[str, ...]


def read_reporting_rates(
    connection: Connection[Row], *, currency: str | None, now: datetime
) -> ReportingRates | None:
    """Return a day's rates, as they are known then, into the currency that the firm reports in, where it names one."""
    if currency is None:
        return None
    rates = list_exchange_rates(connection, to_currency=currency, on_date=now.date(), known_at=now)
    return ReportingRates(
        currency=currency,
        on_date=now.date(),
        rates={rate.from_currency: rate for rate in rates},
    )


def tell_together(
    connection: Connection[Row], amounts: Sequence[Money], *, currency: str | None, now: datetime
) -> Together | None:
    """Add amounts at today's rates into the currency that the firm reports in, as ``add_together`` does."""
    return add_together(amounts, at=read_reporting_rates(connection, currency=currency, now=now))


def add_together(amounts: Sequence[Money], *, at: ReportingRates | None) -> Together | None:
    """Add amounts of several currencies at these rates, rounded once; None where there is nothing to add."""
    if at is None or len({each.currency for each in amounts}) < 2:
        return None
    foreign = sorted({each.currency for each in amounts} - {at.currency})
    missing = tuple(currency for currency in foreign if currency not in at.rates)
    total = None
    if not missing:
        exact = sum(
            (
                each.amount
                * (Decimal(1) if each.currency == at.currency else at.rates[each.currency].factor)
                for each in amounts
            ),
            Decimal(0),
        )
        total = Money(
            amount=round_half_up(exact, digits=currency_digits(at.currency)), currency=at.currency
        )
    return Together(
        currency=at.currency,
        on_date=at.on_date,
        total=total,
        rates=tuple(at.rates[currency] for currency in foreign if currency in at.rates),
        missing=missing,
    )
