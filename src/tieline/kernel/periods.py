"""Half-open periods of civil dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

_WEEKS = (4, 4, 5)
_QUARTERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Cover [starts_on, ends_on); an open end is None."""

    starts_on: date
    ends_on: date | None

    def __post_init__(self) -> None:
        if self.ends_on is not None and self.ends_on <= self.starts_on:
            raise ValueError(f"a period from {self.starts_on} cannot end on {self.ends_on}")

    def __contains__(self, day: object) -> bool:
        if not isinstance(day, date):
            return False
        return self.starts_on <= day and (self.ends_on is None or day < self.ends_on)


def month_of(day: date) -> Period:
    """Return the calendar month that contains the day."""
    return Period(starts_on=day.replace(day=1), ends_on=next_month(day))


def next_month(day: date) -> date:
    """Return the first day of the month after the day's."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def weeks_of_year(year: int) -> tuple[tuple[date, date], ...]:
    """Return the twelve half-open periods of a year of whole weeks: 4, 4 and 5 weeks in each quarter.

    The year is that of ISO 8601, which begins on a Monday; where it has a 53rd week, the last period has it.
    """
    edges = [date.fromisocalendar(year, 1, 1)]
    for weeks in _WEEKS * _QUARTERS:
        edges.append(edges[-1] + timedelta(weeks=weeks))
    edges[-1] = date.fromisocalendar(year + 1, 1, 1)
    return tuple(pairwise(edges))
