"""When people work, as a staffing file tells it: facts become rows, and places become holidays.

Pure up to the last function, which keeps the public holidays of every place of work in a table: rules
are SQL and ask no library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from holidays import country_holidays, list_supported_countries
from psycopg import Connection

from tieline.canonical import StaffingFact
from tieline.kernel.money import seconds_from_hours
from tieline.runtime.database import Row

PATTERN, SHARE, PLACE = "work_pattern", "work_share", "work_place"
LEAVE, COMPANY_HOLIDAY = "leave", "company_holiday"
PERMISSIONS = {"overtime_permission": "overtime", "free_day_permission": "free_day"}
NOT_OF_A_PERSON = frozenset({COMPANY_HOLIDAY})

_YEARS_BACK, _YEARS_AHEAD = 2, 1
_DAY = timedelta(days=1)
_WORKING_DAYS = 5
_WEEK_DAYS = 7
_DAY_SECONDS_MAX = 86_400
_WHOLE = Decimal(1)
_SHARE_MAX = Decimal(2)
_PLANNED_HOURS_MAX = Decimal(1_000_000)


class NotUnderstood(ValueError):
    """A fact does not say what it would have to; the sentence says how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A leave: of whole days, or of so many seconds or such a share of each of its days."""

    starts_on: date
    ends_on: date
    seconds: int = 0
    share: Decimal = _WHOLE


def pattern_of(fact: StaffingFact) -> dict[str, Any]:
    """Return the seconds of each weekday that a fact tells as hours from Monday on: 8 8 8 8 6 0 0.

    :raises NotUnderstood: it does not tell seven days.
    """
    words = str(fact.extras.get("week_pattern") or "").replace(";", " ").split()
    seconds = [seconds_from_hours(_number(word, "week_pattern")) for word in words]
    is_a_week = len(seconds) == _WEEK_DAYS and all(0 <= n <= _DAY_SECONDS_MAX for n in seconds)
    if not is_a_week:
        raise NotUnderstood(
            "Give week_pattern as seven hours from Monday on, such as 8 8 8 8 6 0 0."
        )
    return {"weekday_seconds": seconds, **_dates(fact)}


def pattern_of_week(fact: StaffingFact) -> dict[str, Any] | None:
    """Return five equal days of an employment that only tells the hours of its week, else None."""
    week = fact.extras.get("week_seconds")
    if not week or fact.starts_on is None:
        return None
    day, rest = divmod(int(week), _WORKING_DAYS)
    days = [day + rest, *[day] * (_WORKING_DAYS - 1), *[0] * (_WEEK_DAYS - _WORKING_DAYS)]
    return {"weekday_seconds": days, "starts_on": fact.starts_on, "ends_on": fact.ends_on}


def share_of(fact: StaffingFact) -> dict[str, Any]:
    """Return the share of the pattern that somebody is employed for.

    :raises NotUnderstood: it is no share.
    """
    share = _number(fact.extras.get("work_share"), "work_share")
    if not 0 < share <= _SHARE_MAX:
        raise NotUnderstood("Give work_share as a number above 0, such as 0.8.")
    return {"share": share, **_dates(fact)}


def place_of(fact: StaffingFact) -> dict[str, Any]:
    """Return where somebody works: a country, or a part of it, whose holidays are known.

    :raises NotUnderstood: nobody knows the holidays of such a place.
    """
    place = str(fact.extras.get("work_place") or "").upper()
    country, _, part = place.partition("-")
    known = list_supported_countries(include_aliases=False)
    if country not in known or (part and part not in known[country]):
        raise NotUnderstood("Give work_place as a country or a part of it, such as DE or DE-BY.")
    return {"place": place, **_dates(fact)}


def permission_of(fact: StaffingFact) -> dict[str, Any]:
    """Return what somebody may do beyond the pattern; without an end, on that one day.

    :raises NotUnderstood: it has no first day.
    """
    dates = _dates(fact)
    return {
        "kind": PERMISSIONS[fact.fact],
        "starts_on": dates["starts_on"],
        "ends_on": dates["ends_on"] or dates["starts_on"] + _DAY,
    }


def company_holiday_of(fact: StaffingFact) -> dict[str, Any]:
    """Return a company's free day, or the share of it that is free.

    :raises NotUnderstood: it names no company or no day.
    """
    dates = _dates(fact)
    if not fact.entity_code:
        raise NotUnderstood("Name the company that gives the day.")
    return {
        "free_share": _part(fact) or _WHOLE,
        "starts_on": dates["starts_on"],
        "ends_on": dates["ends_on"] or dates["starts_on"] + _DAY,
    }


def planned_of(fact: StaffingFact) -> int | None:
    """Return the seconds that an assignment plans for its person, None where it tells none.

    :raises NotUnderstood: they are no hours.
    """
    word = fact.extras.get("planned_hours")
    if word is None or not str(word).strip():
        return None
    hours = _number(word, "planned_hours")
    if hours < 0 or hours > _PLANNED_HOURS_MAX:
        raise NotUnderstood("Give planned_hours as a number of hours, such as 120 or 37.5.")
    return seconds_from_hours(hours)


def away_of(fact: StaffingFact) -> Away:
    """Return a leave, whole or in parts.

    :raises NotUnderstood: its days or its part of a day cannot be.
    """
    if fact.starts_on is None or fact.ends_on is None or fact.ends_on <= fact.starts_on:
        raise NotUnderstood("Fill in company, employee code and dates.")
    hours = fact.extras.get("day_hours")
    if hours:
        seconds = seconds_from_hours(_number(hours, "day_hours"))
        if not 0 < seconds <= _DAY_SECONDS_MAX:
            raise NotUnderstood("Give day_hours as the hours of leave on each day, such as 4.")
        return Away(
            starts_on=fact.starts_on, ends_on=fact.ends_on, seconds=seconds, share=Decimal(0)
        )
    return Away(starts_on=fact.starts_on, ends_on=fact.ends_on, share=_part(fact) or _WHOLE)


def leave_rows(found: Iterable[Away]) -> list[dict[str, Any]]:
    """Return leaves as rows of which one holds on a day: what meets on a day adds up."""
    leaves = sorted(found, key=lambda each: (each.starts_on, each.ends_on))
    edges = sorted({day for each in leaves for day in (each.starts_on, each.ends_on)})
    rows: list[dict[str, Any]] = []
    for starts_on, ends_on in pairwise(edges):
        here = [one for one in leaves if one.starts_on <= starts_on and one.ends_on >= ends_on]
        if not here:
            continue
        share = sum((one.share for one in here), Decimal(0))
        seconds = sum(one.seconds for one in here)
        is_whole = share >= _WHOLE
        row = {
            "kind": "leave",
            "day_seconds": None if is_whole else seconds or None,
            "day_share": None if is_whole else share or None,
            "starts_on": starts_on,
            "ends_on": ends_on,
        }
        before = rows[-1] if rows else None
        if before and before["ends_on"] == starts_on and _part_of(before) == _part_of(row):
            before["ends_on"] = ends_on
        else:
            rows.append(row)
    return rows


def keep_holidays(connection: Connection[Row], *, now: datetime) -> int:
    """Keep the public holidays of every place of work; return how many days are new or gone.

    A year is read again when the library that knows it has another version.
    """
    source = f"holidays {version('holidays')}"
    years = range(now.year - _YEARS_BACK, now.year + _YEARS_AHEAD + 1)
    missing = connection.execute(
        """
        SELECT p.place, y.year FROM (SELECT DISTINCT place FROM work_place WHERE superseded_at IS NULL) p
        CROSS JOIN unnest(%s::integer[]) AS y (year)
        LEFT JOIN holiday_year k ON k.place = p.place AND k.year = y.year AND k.source = %s
        WHERE k.place IS NULL ORDER BY 1, 2
        """,
        (list(years), source),
    ).fetchall()
    return sum(
        _keep_year(connection, place=row["place"], year=row["year"], source=source, now=now)
        for row in missing
    )


def _keep_year(
    connection: Connection[Row], *, place: str, year: int, source: str, now: datetime
) -> int:
    country, _, part = place.partition("-")
    found = country_holidays(country, subdiv=part or None, years=[year])
    days = [day for day in found if day.year == year]
    values = {
        "place": place,
        "year": year,
        "source": source,
        "now": now,
        "days": days,
        "names": [str(found[day]) for day in days],
    }
    gone = connection.execute(
        """
        UPDATE public_holiday SET superseded_at = greatest(%(now)s, recorded_at)
        WHERE place = %(place)s AND superseded_at IS NULL AND extract(year FROM day) = %(year)s
          AND day <> ALL (%(days)s::date[])
        """,
        values,
    ).rowcount
    new = connection.execute(
        """
        INSERT INTO public_holiday (place, day, name, recorded_at)
        SELECT %(place)s, h.day, h.name, %(now)s
        FROM unnest(%(days)s::date[], %(names)s::text[]) AS h (day, name)
        WHERE NOT EXISTS (SELECT FROM public_holiday p WHERE p.place = %(place)s AND p.day = h.day
                          AND p.superseded_at IS NULL)
        """,
        values,
    ).rowcount
    connection.execute(
        """
        INSERT INTO holiday_year (place, year, source, recorded_at)
        VALUES (%(place)s, %(year)s, %(source)s, %(now)s)
        ON CONFLICT (place, year) DO UPDATE SET source = excluded.source
        """,
        values,
    )
    return gone + new


def _part(fact: StaffingFact) -> Decimal | None:
    told = fact.extras.get("day_share")
    if not told:
        return None
    share = _number(told, "day_share")
    if not 0 < share <= _WHOLE:
        raise NotUnderstood("Give day_share as a part of the day, such as 0.5.")
    return share


def _part_of(row: dict[str, Any]) -> Sequence[Any]:
    return (row["day_seconds"], row["day_share"])


def _dates(fact: StaffingFact) -> dict[str, Any]:
    if fact.starts_on is None:
        raise NotUnderstood("Fill in the day from which it holds.")
    return {"starts_on": fact.starts_on, "ends_on": fact.ends_on}


def _number(word: Any, name: str) -> Decimal:
    try:
        number = Decimal(str(word or "").replace(",", "."))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise NotUnderstood(f"Give {name} as a number.")
    return number
