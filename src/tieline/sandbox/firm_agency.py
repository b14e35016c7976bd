"""The agency's file: the hours of its contractors, of which three lines cannot be read."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tieline.sandbox.firm_calendar import working_days
from tieline.sandbox.firm_model import Person
from tieline.sandbox.firm_narratives import narratives

FILE_NAME = "agency.csv"
ROWS = 420
PROJECT, TASK = "STE-PORT", "Migration"
COLUMNS = ("line", "person", "project", "task", "day", "hours", "approved", "work")
# What stands in the cells of the lines that cannot be read, by their place among the rows.
_BAD = {57: ("hours", "7,5 h"), 203: ("day", "31.02."), 388: ("hours", "")}
_HOURS = (Decimal("2.50"), Decimal("3.00"), Decimal("2.25"))
_FIRST_LINE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyRow:
    """One line of the file that can be read."""

    ref: str
    email: str
    work_date: date
    hours: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyFile:
    """The file as it is dropped, what can be read of it, and the lines that cannot: number and key."""

    content: str
    rows: tuple[AgencyRow, ...]
    bad_lines: tuple[tuple[int, str], ...]


def make_agency_file(*, seed: int, month: date, people: Sequence[Person]) -> AgencyFile:
    """Return the month of the agency's people, three pieces of work to a day until the rows are enough."""
    dice = random.Random(f"agency:{seed}:{month}")
    contractors = [person for person in people if person.is_from_agency]
    days = working_days(month, country_code="DE")
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    rows, bad_lines = [], []
    slots = [(day, person) for day in days for person in contractors]
    for number in range(ROWS):
        day, person = slots[number // len(_HOURS)]
        part = number % len(_HOURS)
        if part == 0:
            words = narratives(country_code="DE", task=TASK, dice=dice, count=len(_HOURS))
        row = AgencyRow(
            ref=f"{month:%Y%m}-{number + 1:04d}",
            email=person.email,
            work_date=day,
            hours=_HOURS[part],
        )
        cells = {
            "line": row.ref,
            "person": row.email,
            "project": PROJECT,
            "task": TASK,
            "day": day.isoformat(),
            "hours": str(row.hours),
            "approved": "yes",
            "work": words[part],
        }
        if number in _BAD:
            column, cell = _BAD[number]
            cells[column] = cell
            bad_lines.append((number + _FIRST_LINE, row.ref))
        else:
            rows.append(row)
        writer.writerow(cells)
    return AgencyFile(content=text.getvalue(), rows=tuple(rows), bad_lines=tuple(bad_lines))
