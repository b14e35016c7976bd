"""The story's days: which month it is about, who works when, when business 'now' is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from tieline.kernel.periods import next_month, weeks_of_year

WEEKS = "4-4-5"
"""What a fiscal year of whole weeks begins with, in place of a day."""

_SATURDAY = 5
_WEEKDAYS_OF_FIVE_WEEKS = 25
_NOW = time(14, 56)
_MUNICH = ZoneInfo("Europe/Berlin")
_DAY = timedelta(days=1)
_OFFICES: Mapping[str, str | None] = {"DE": "BY", "GB": "ENG", "US": "MA", "PL": None}


def anchor_month(today: date) -> date:
    """Return the first day of the last full month whose second working day has passed."""
    month = month_before(today)
    return month if close_day(month) < today else month_before(month)


def business_now(month: date) -> datetime:
    """Return the story's present: 14:56 in Munich on the second working day after the month."""
    return datetime.combine(close_day(month), _NOW, tzinfo=_MUNICH).astimezone(UTC)


def close_day(month: date) -> date:
    """Return the second working day of the month that follows; only weekends are free here."""
    day = next_month(month)
    passed = 0
    while True:
        passed += day.weekday() < _SATURDAY
        if passed == 2:
            return day
        day += _DAY


def month_before(day: date) -> date:
    """Return the first day of the month before the day's."""
    return (day.replace(day=1) - _DAY).replace(day=1)


def months_before(month: date, count: int) -> date:
    """Return the first day of the month so many months earlier."""
    for _ in range(count):
        month = month_before(month)
    return month


def months_after(month: date, count: int) -> date:
    """Return the first day of the month so many months later."""
    for _ in range(count):
        month = next_month(month)
    return month


def working_days(month: date, *, country_code: str) -> tuple[date, ...]:
    """Return the days of the month that are neither weekends nor public holidays at the office."""
    days = (month + timedelta(days=n) for n in range((next_month(month) - month).days))
    return tuple(day for day in days if _is_worked(day, country_code))


def working_days_of_five_weeks(month: date, *, country_code: str) -> tuple[date, ...]:
    """Return the same of the five weeks that end before the story's present: the month, and a bit on both sides."""
    days: list[date] = []
    day = close_day(month)
    while len(days) < _WEEKDAYS_OF_FIVE_WEEKS:
        day -= _DAY
        if day.weekday() < _SATURDAY:
            days.append(day)
    return tuple(day for day in reversed(days) if _is_worked(day, country_code))


def weeks_before(month: date) -> tuple[date, date]:
    """Return the newest period of whole weeks, half-open, that is over at the story's present."""
    today = close_day(month)
    return next(
        (starts_on, ends_on)
        for year in (today.year, today.year - 1)
        for starts_on, ends_on in reversed(weeks_of_year(year))
        if ends_on <= today
    )


def working_days_since(starts_on: date, *, month: date, country_code: str) -> tuple[date, ...]:
    """Return the working days from a day on, up to the story's present."""
    days = (starts_on + timedelta(days=n) for n in range((close_day(month) - starts_on).days))
    return tuple(day for day in days if _is_worked(day, country_code))


def _is_worked(day: date, country_code: str) -> bool:
    return day.weekday() < _SATURDAY and day not in _holidays(country_code, day.year)


def next_workday(day: date, *, after: int = 1) -> date:
    """Return the n-th day after this one that is no weekend."""
    while after:
        day += _DAY
        after -= day.weekday() < _SATURDAY
    return day


def saturday_after(day: date) -> date:
    """Return the Saturday of the day's week: the first day something that ends then is over."""
    return day + timedelta(days=_SATURDAY - day.weekday())


def common_days(month: date) -> tuple[date, ...]:
    """Return the days on which both offices work."""
    british = set(working_days(month, country_code="GB"))
    return tuple(day for day in working_days(month, country_code="DE") if day in british)


def leaver_ends_on(month: date) -> date:
    """Return the first day on which the leaver is no longer employed."""
    return saturday_after(common_days(month)[8])


def early_end(month: date) -> date:
    """Return the day on which one assignment is over before the project is."""
    return saturday_after(common_days(month)[6])


def place_of_work(country_code: str) -> str:
    """Return the office as a staffing file names it: a country, or a part of it."""
    part = _OFFICES[country_code]
    return country_code if part is None else f"{country_code}-{part}"


@lru_cache(maxsize=64)
def _holidays(country_code: str, year: int) -> frozenset[date]:
    found = holidays.country_holidays(country_code, subdiv=_OFFICES[country_code], years=[year])
    days: Sequence[date] = list(found.keys())
    return frozenset(days)
