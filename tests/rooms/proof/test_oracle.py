"""The oracle of a proof finds what was lost, what stands twice, and how long nothing moved."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tieline.proof.proving.load import LineKey, Load, read_acknowledged
from tieline.proof.proving.oracle import Findings, judge_journal

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
ONE: LineKey = ("1", "0", "2026-03-02", 3600)
TWO: LineKey = ("2", "0", "2026-03-02", 1800)


class Journal:
    """A journal as the books write it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.jsonl"
        self.path.write_text("")
        self._id = 0

    def note(self, event: str, *, after: int = 0, **words: Any) -> None:
        entry = {"event": event, "at": (START + timedelta(seconds=after)).isoformat(), **words}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def asked(self, *keys: LineKey, after: int = 0) -> None:
        self.note("asked", after=after, lines=[list(key) for key in keys])

    def stored(self, key: LineKey, *, after: int = 0, batch: int = 1) -> int:
        self._id += 1
        person, task, date, seconds = key
        self.note(
            "stored", after=after, batch=batch, id=self._id,
            person=person, task=task, date=date, seconds=seconds,
        )  # fmt: skip
        return self._id

    def judge(
        self,
        *acknowledged: LineKey,
        waiting: tuple[LineKey, ...] = (),
        given_after: int = 0,
        broken_after: tuple[int, ...] = (),
    ) -> Findings:
        return judge_journal(
            acknowledged=Counter(acknowledged),
            journal=self.path,
            waiting=Counter(waiting),
            dropped_at=[(START + timedelta(seconds=given_after), len(acknowledged))],
            broken_at=[START + timedelta(seconds=each) for each in broken_after],
        )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


class TestOracle:
    def test_finds_nothing_where_each_line_stands_once(self, journal: Journal) -> None:
        journal.asked(ONE, TWO)
        journal.stored(ONE)
        journal.stored(TWO)

        found = journal.judge(ONE, TWO)

        assert (found.posted, found.lost, found.duplicated) == (2, 0, 0)
        assert found.money_difference == 0
        assert (found.write_calls, found.batches_stored) == (1, 1)

    def test_finds_what_is_missing_and_its_money(self, journal: Journal) -> None:
        journal.stored(ONE)

        found = journal.judge(ONE, TWO)

        assert (found.posted, found.lost, found.duplicated) == (1, 1, 0)
        assert found.money_difference == Decimal("60.00")

    def test_finds_a_second_line_whatever_key_it_carries(self, journal: Journal) -> None:
        journal.stored(ONE)
        journal.stored(ONE, batch=2)

        found = journal.judge(ONE)

        assert (found.posted, found.lost, found.duplicated) == (1, 0, 1)
        assert found.money_difference == Decimal("120.00")

    def test_takes_two_equal_hours_for_two(self, journal: Journal) -> None:
        journal.stored(ONE)
        journal.stored(ONE)

        assert journal.judge(ONE, ONE).duplicated == 0

    def test_takes_another_persons_line_for_lost_and_too_many(self, journal: Journal) -> None:
        journal.stored(TWO)

        found = journal.judge(ONE)

        assert (found.lost, found.duplicated) == (1, 1)
        assert found.money_difference == Decimal("180.00")

    def test_forgets_what_was_taken_back(self, journal: Journal) -> None:
        number = journal.stored(ONE)
        person, task, date, seconds = ONE
        journal.note(
            "voided", batch=2, id=number, person=person, task=task, date=date, seconds=seconds
        )

        assert journal.judge(ONE).lost == 1

    @pytest.mark.parametrize("stands", [True, False])
    def test_takes_what_waits_for_a_person_for_neither_lost_nor_posted(
        self, journal: Journal, stands: bool
    ) -> None:
        journal.stored(ONE)
        if stands:
            journal.stored(TWO)

        found = journal.judge(ONE, TWO, waiting=(TWO,))

        assert (found.posted, found.waiting, found.lost, found.duplicated) == (1, 1, 0, 0)

    def test_tells_an_hour_that_waits_from_an_equal_one_that_is_posted(
        self, journal: Journal
    ) -> None:
        journal.stored(ONE)

        found = journal.judge(ONE, ONE, waiting=(ONE,))

        assert (found.posted, found.waiting, found.lost, found.duplicated) == (1, 1, 0, 0)

    def test_sees_how_long_a_line_was_stuck_after_it_was_first_sent(self, journal: Journal) -> None:
        journal.asked(ONE, TWO)
        journal.stored(TWO, after=1)
        journal.asked(ONE, after=20)
        journal.stored(ONE, after=41)

        found = journal.judge(ONE, TWO)
        broken = journal.judge(ONE, TWO, broken_after=(5, 15, 60))

        assert (found.longest_wait_seconds, found.longest_stuck_seconds) == (41, 41)
        assert (broken.longest_wait_seconds, broken.longest_stuck_seconds) == (41, 26)

    def test_sees_how_long_nothing_was_stored_though_something_was_given(
        self, journal: Journal
    ) -> None:
        journal.stored(ONE, after=30)

        assert journal.judge(ONE, given_after=10).longest_stuck_seconds == 20


class TestLoad:
    def test_is_the_same_for_a_seed(self, tmp_path: Path) -> None:
        held = []
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            folder = tmp_path / name
            folder.mkdir()
            load = Load(entries=300, seed=seed, folder=folder)
            while load.drop(70):
                continue
            held.append(read_acknowledged(folder))

        assert held[0] == held[1]
        assert held[0] != held[2]
        assert sum(held[0].values()) == 300

    def test_books_no_day_longer_than_it_is(self, tmp_path: Path) -> None:
        load = Load(entries=2000, seed=3, folder=tmp_path)
        load.drop(2000)
        days: Counter[tuple[str, str]] = Counter()
        for (person, _task, day, seconds), count in read_acknowledged(tmp_path).items():
            days[(person, day)] += seconds * count

        assert max(days.values()) <= 24 * 3600
