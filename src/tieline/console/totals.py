"""What the amounts of a page come to in the reporting currency, as a sheet: with every rate, or which is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tieline.console.words import total
from tieline.console.workbook import Cell, Column, Kind, Sheet
from tieline.services.reporting_currency import Together

NEVER_ADDED = (
    "Amounts of different currencies are never added; what they come to in one stands under Totals."
)


def totals_sheets(found: Mapping[str, Together | None]) -> tuple[Sheet, ...]:
    """Return one sheet of the totals that a page tells, by what they are of; none where it tells none."""
    told = {title: each for title, each in found.items() if each is not None}
    if not told:
        return ()
    return (
        Sheet(
            name="Totals",
            columns=(
                Column(title="Total of", width=28),
                Column(title="Says", width=60),
                Column(title="Amount", kind=Kind.AMOUNT),
                Column(title="Currency"),
                Column(title="At the rates of", kind=Kind.DAY),
                Column(title="One of"),
                Column(title="Is worth", kind=Kind.RATE),
                Column(title="Source", width=20),
                Column(title="Rate since", kind=Kind.DAY),
            ),
            rows=[row for title, each in told.items() for row in _rows(title, each)],
        ),
    )


def _rows(title: str, found: Together) -> Iterator[tuple[Cell, ...]]:
    # The amount stands once, on a row of its own: nobody adds it per rate.
    amount = found.total.amount if found.total else None
    yield title, total(found), amount, found.currency, found.on_date, None, None, None, None
    for rate in found.rates:
        yield (
            *(title, None, None, found.currency, found.on_date),
            *(rate.from_currency, rate.factor, rate.source, rate.starts_on),
        )
    for currency in found.missing:
        yield (
            *(title, None, None, found.currency, found.on_date),
            *(currency, "not known", None, None),
        )
