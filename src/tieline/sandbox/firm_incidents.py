"""The twelve things that went wrong at Halden Roe, with exactly the hours and money of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How much of something there is: hours, money in one currency, and whatever else is counted.

    ``amount`` is None where nobody can say what it is worth.
    """

    hours: Decimal | None = None
    amount: Decimal | None = None
    currency: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing that went wrong; ``is_played`` waits for somebody to press it on the board."""

    number: int
    title: str
    planted: Measure
    is_played: bool = False


def _hours(hours: str, amount: str, currency: str) -> Measure:
    return Measure(hours=Decimal(hours), amount=Decimal(amount), currency=currency)


INCIDENTS: tuple[Incident, ...] = (
    Incident(
        number=1,
        title="A deal whose client may be one that the ERP has under another name",
        planted=Measure(amount=Decimal("184000.00"), currency="EUR", counts={"deals": 1}),
        is_played=True,
    ),
    Incident(
        number=2,
        title="A deal that needs a purchase order and has none",
        planted=Measure(amount=Decimal("96000.00"), currency="GBP", counts={"deals": 1}),
    ),
    Incident(
        number=3,
        title="Hours of a labor category that the contract has no rate for",
        planted=Measure(hours=Decimal("42.00"), counts={"cases": 1}),
    ),
    Incident(
        number=4,
        title="Hours after the assignment ended",
        planted=_hours("14.50", "2610.00", "EUR"),
    ),
    Incident(
        number=5,
        title="An hour that goes over the contract's cap",
        planted=_hours("3.50", "630.00", "EUR"),
    ),
    Incident(
        number=6,
        title="A posted hour of a closed month that became shorter",
        planted=_hours("-1.50", "-270.00", "EUR"),
        is_played=True,
    ),
    Incident(
        number=7,
        title="A posted hour that was deleted, and nobody said so",
        planted=_hours("-8.00", "-1120.00", "GBP"),
        is_played=True,
    ),
    Incident(
        number=8,
        title="Hours of one company's person for another, without an agreement",
        planted=_hours("31.00", "2945.00", "EUR"),
    ),
    Incident(
        number=9,
        title="88.00 typed for 8.80",
        planted=_hours("88.00", "16720.00", "USD"),
    ),
    Incident(
        number=10,
        title="A rate that changes inside the month",
        planted=Measure(
            hours=Decimal("80.00"),
            amount=Decimal("12400.00"),
            currency="EUR",
            counts={"lines": 2},
        ),
    ),
    Incident(
        number=11,
        title="People without time, and an approver who is away",
        planted=Measure(hours=Decimal("143.50"), counts={"people": 7, "whose approver is away": 3}),
    ),
    Incident(
        number=12,
        title="An agency's file with lines that cannot be read, dropped twice",
        planted=Measure(counts={"lines": 3, "files recognized": 1}),
        is_played=True,
    ),
)
