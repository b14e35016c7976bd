"""Measures as rows: what each one means, and its newest value per month and legal entity."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg import Connection

from tieline.runtime.sql import load

_DERIVE = load("tieline.readmodels", "derive_measures")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One definition, as a page shows it beside the number."""

    name: str
    unit: str
    meaning: str


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="setup_time",
        unit="hours",
        meaning="From a deal closed-won to its project confirmed in every system.",
    ),
    Measure(
        name="correction_rate",
        unit="share",
        meaning="Hours that were changed after they were first approved, of all approved hours.",
    ),
    Measure(
        name="first_pass_rate",
        unit="share",
        meaning="Hours that were ready to post the first time they were checked.",
    ),
    Measure(
        name="approval_to_erp",
        unit="hours",
        meaning="From the approval of an hour to its line in the ERP.",
    ),
    Measure(
        name="landing_to_erp",
        unit="hours",
        meaning="From the arrival of an hour's newest version to its line in the ERP.",
    ),
    Measure(
        name="cut_off_hit_rate",
        unit="share",
        meaning="Hours of a period in the ERP before its cut-off, of all its hours there.",
    ),
    Measure(
        name="reversal_rate",
        unit="share",
        meaning="Lines that were taken back, of all lines put into the ERP.",
    ),
    Measure(
        name="invoice_time",
        unit="days",
        meaning="From the end of a period to the draft of its invoice.",
    ),
    Measure(
        name="exception_time",
        unit="hours",
        meaning="From the opening of a case to its closing, by owner queue.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureValue:
    """One number, its sample and its as-of instant; ``variant`` says median, p90 or the queue."""

    measure: str
    variant: str
    entity_code: str
    month_on: date
    value: Decimal | None
    unit: str
    sample_count: int
    as_of: datetime


def derive(connection: Connection[Row], *, now: datetime) -> int:
    """Measure every month that has samples; return how many values stand."""
    connection.execute("DELETE FROM measure_value")
    return connection.execute(_DERIVE, {"now": now}).rowcount


def list_measures(
    connection: Connection[Row], *, measure: str | None = None, entity_code: str | None = None
) -> tuple[MeasureValue, ...]:
    """List values, the newest month first; '' is the whole firm's entity code."""
    rows = connection.execute(
        """
        SELECT measure, variant, entity_code, month_on, value, unit, sample_count, as_of
        FROM measure_value
        WHERE (%(measure)s::text IS NULL OR measure = %(measure)s)
          AND (%(entity_code)s::text IS NULL OR entity_code = %(entity_code)s)
        ORDER BY month_on DESC, measure, variant, entity_code
        """,
        {"measure": measure, "entity_code": entity_code},
    ).fetchall()
    return tuple(MeasureValue(**row) for row in rows)
