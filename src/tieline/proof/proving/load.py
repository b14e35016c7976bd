"""The hours of a proof: the same seed gives the same files; what lies in a whole file is acknowledged."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

NOW = datetime(2026, 11, 3, 13, 56, tzinfo=UTC)
FIRST_PERIOD, AFTER_PERIODS = date(2026, 7, 1), date(2027, 1, 1)
RATE = Decimal("120.00")
CURRENCY = "EUR"
TASKS = 5
_LAST_DAY = date(2026, 10, 30)
_DAYS = 62
_ENTRIES_PER_DAY = 4
_SATURDAY = 5
_QUARTERS_MAX = 8
_SECONDS_PER_QUARTER = 900
_PEOPLE_MIN = 8
_PEOPLE_TOGETHER = 50
_COLUMNS = ("id", "person", "project", "task", "day", "hours", "state", "note")

# Person, task, work date and seconds: what a line is, whatever key it carries.
LineKey = tuple[str, str, str, int]


def real_now() -> datetime:
    """Return the instant as the target's journal tells it: business time stands apart in a proof."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One hour of the source."""

    number: int
    person: int
    task: int
    work_date: date
    seconds: int


@dataclass(slots=True, kw_only=True)
class Load:
    """Hours that are given to the source portion by portion."""

    entries: int
    seed: int
    folder: Path
    dropped: int = 0
    dropped_at: list[tuple[datetime, int]] = field(default_factory=list)
    _hours: Iterator[Hour] | None = None

    @property
    def people(self) -> int:
        """Return how many people book."""
        return people_for(self.entries)

    def drop(self, count: int) -> int:
        """Put so many of the next hours into the folder as one whole file; return how many were left."""
        if self._hours is None:
            self._hours = self._generate()
        portion = [hour for _, hour in zip(range(count), self._hours, strict=False)]
        if not portion:
            return 0
        path = self.folder / f"hours-{portion[0].number:08d}.csv"
        draft = path.with_suffix(".part")
        with draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(_row(hour) for hour in portion)
        draft.replace(path)
        self.dropped += len(portion)
        self.dropped_at.append((real_now(), self.dropped))
        return len(portion)

    def _generate(self) -> Iterator[Hour]:
        chance = random.Random(f"hours:{self.seed}")
        # No two lines of a person and day are alike, so that the target's journal tells them apart.
        kinds = [
            (task, quarters) for task in range(TASKS) for quarters in range(1, _QUARTERS_MAX + 1)
        ]
        numbers = iter(range(self.entries))
        for first in range(0, self.people, _PEOPLE_TOGETHER):
            for day in _days_across_periods():
                for person in range(first, min(first + _PEOPLE_TOGETHER, self.people)):
                    for task, quarters in chance.sample(kinds, _ENTRIES_PER_DAY):
                        number = next(numbers, None)
                        if number is None:
                            return
                        yield Hour(
                            number=number,
                            person=person,
                            task=task,
                            work_date=day,
                            seconds=_SECONDS_PER_QUARTER * quarters,
                        )


def people_for(entries: int) -> int:
    """Return how many people book so much in three months."""
    return max(_PEOPLE_MIN, -(-entries // (_DAYS * _ENTRIES_PER_DAY)))


def read_acknowledged(folder: Path) -> Counter[LineKey]:
    """Read what the source holds, from its files alone."""
    held: Counter[LineKey] = Counter()
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                seconds = Decimal(row["hours"]) * 3600
                held[(row["person"], row["task"], row["day"], int(seconds))] += 1
    return held


def _row(hour: Hour) -> tuple[str, ...]:
    return (
        str(hour.number),
        str(hour.person),
        "P0",
        str(hour.task),
        hour.work_date.isoformat(),
        str(Decimal(hour.seconds) / 3600),
        "APPROVED",
        f"Review {hour.number} with the client's team, notes filed",
    )


def _days_across_periods() -> list[date]:
    """Return the work days of all periods by turns, so that several periods are posted at once."""
    days: dict[int, list[date]] = {}
    day = _LAST_DAY
    while sum(map(len, days.values())) < _DAYS:
        if day.weekday() < _SATURDAY:
            days.setdefault(day.month, []).append(day)
        day -= timedelta(days=1)
    return [day for turn in zip_longest(*days.values()) for day in turn if day is not None]
