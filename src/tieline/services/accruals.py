"""What a period's approved hours are worth that are not in the ERP, offered as accrual lines.

Pattern: read on request; nothing is written anywhere. Vendor calls: none. Each line is booked by people
at the cut-off and reversed on the first day of the next period.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.services.period_close import Period, get_period


@dataclass(frozen=True, slots=True, kw_only=True)
class AccrualLine:
    """One amount to accrue; ``amount`` is None where no price is known, never 0."""

    entity_code: str
    period_code: str
    currency: str | None
    project_code: str | None
    contract_code: str | None
    labor_category: str
    place: str
    entries: int
    approved_seconds: int
    standing_seconds: int
    amount: Decimal | None
    unpriced_seconds: int
    books_on: date
    reverses_on: date

    @property
    def reversal_amount(self) -> Decimal | None:
        """Return what takes the line back in the next period."""
        return None if self.amount is None else -self.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Accruals:
    """The lines of one period; the tie-out says as many seconds are in none of the ERP's lines."""

    period: Period
    lines: tuple[AccrualLine, ...]
    approved_seconds: int
    tie_out_seconds: int

    @property
    def adds_up(self) -> bool:
        """Say whether the lines are as many seconds as the tie-out has outside the ERP."""
        return self.approved_seconds == self.tie_out_seconds

    @property
    def amounts(self) -> dict[str, Decimal]:
        """Return the sums by currency, of what has a price."""
        sums: dict[str, Decimal] = {}
        for line in self.lines:
            if line.currency and line.amount is not None:
                sums[line.currency] = sums.get(line.currency, Decimal(0)) + line.amount
        return sums


def read_accruals(connection: Connection[Row], *, period_id: UUID) -> Accruals:
    """Return the accrual lines of a period, booked on its last day and reversed on the next.

    :raises LookupError: there is no such period in sight.
    """
    period = get_period(connection, period_id=period_id)
    rows = connection.execute("SELECT * FROM page_accruals(%s)", (period_id,)).fetchall()
    books_on = date.fromordinal(period.ends_on.toordinal() - 1)
    lines = tuple(AccrualLine(**row, books_on=books_on, reverses_on=period.ends_on) for row in rows)
    tie_out = connection.execute("SELECT page_outside_erp(%s) AS seconds", (period_id,)).fetchone()
    assert tie_out is not None
    return Accruals(
        period=period,
        lines=lines,
        approved_seconds=sum(line.approved_seconds for line in lines),
        tie_out_seconds=tie_out["seconds"],
    )
