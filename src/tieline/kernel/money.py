"""Exact amounts: Decimal with a currency, rounded once."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

SECONDS_PER_HOUR = 3600
_DIGITS_OTHER_THAN_TWO = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0,
    "RWF": 0, "UGX": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
    "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Keep an amount together with its ISO 4217 currency."""

    amount: Decimal
    currency: str

    def __add__(self, other: Money) -> Money:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} are never added")
        return Money(amount=self.amount + other.amount, currency=self.currency)


def currency_digits(currency: str) -> int:
    """Return the decimal places of an ISO 4217 currency."""
    return _DIGITS_OTHER_THAN_TWO.get(currency, 2)


def round_half_up(amount: Decimal, *, digits: int) -> Decimal:
    """Round half away from zero to so many decimal places."""
    return amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def line_amount(*, seconds: int, rate: Money) -> Money:
    """Price a duration: seconds x hourly rate / 3,600, rounded once to the currency's digits."""
    exact = Decimal(seconds) * rate.amount / SECONDS_PER_HOUR
    return Money(
        amount=round_half_up(exact, digits=currency_digits(rate.currency)), currency=rate.currency
    )


def seconds_from_hours(hours: Decimal) -> int:
    """Take a source's decimal hours as they stand: 0.33 h is 1,188 s.

    :raises ValueError: the number is not finite.
    """
    if not hours.is_finite():
        raise ValueError(f"{hours} is not a number of hours")
    return int((hours * SECONDS_PER_HOUR).quantize(Decimal(1), rounding=ROUND_HALF_UP))
