"""Lines of a file are recognized by key, and where a person loaded them without one by content."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from tieline.canonical import TimeLineCommand
from tieline.posting.loaded import match_loaded
from tieline.sdk import StoredLine


def line(number: int, seconds: int) -> TimeLineCommand:
    return TimeLineCommand(
        business_key=UUID(int=number),
        entity_code="HR-DE",
        person_code="77",
        task_code="501",
        work_date=date(2026, 10, 5),
        seconds=seconds,
        narrative=None,
    )


def stored(code: str, seconds: int, *, key: int | None = None) -> StoredLine:
    return StoredLine(
        business_key=None if key is None else UUID(int=key),
        target_code=code,
        entity_code="HR-DE",
        person_code="77",
        task_code="501",
        work_date=date(2026, 10, 5),
        seconds=seconds,
        invoice_code=None,
    )


def numbers(keys: Sequence[UUID]) -> list[int]:
    return sorted(key.int for key in keys)


class TestLoaded:
    def test_tells_what_stands_once_otherwise_twice_and_not_at_all(self) -> None:
        loaded = match_loaded(
            lines=[line(1, 60), line(2, 60), line(3, 60), line(4, 60)],
            found=[stored("a", 60, key=1), stored("b", 61, key=2), stored("c", 60, key=3),
                   stored("d", 60, key=3)],
        )  # fmt: skip

        assert numbers(list(loaded.same)) == [1]
        assert numbers(list(loaded.differing)) == [2]
        assert [twin.target_code for twin in loaded.doubled[UUID(int=3)]] == ["c", "d"]
        assert numbers(list(loaded.absent)) == [4]
        assert loaded.by_content == frozenset()

    def test_takes_lines_of_one_content_for_each_other_and_no_line_twice(self) -> None:
        loaded = match_loaded(
            lines=[line(1, 60), line(2, 60), line(3, 60), line(4, 90)],
            found=[stored("a", 60, key=1), stored("b", 60), stored("c", 90), stored("d", 120)],
        )

        assert {key.int: each.target_code for key, each in loaded.same.items()} == {
            1: "a", 2: "b", 4: "c",
        }  # fmt: skip
        assert loaded.same[UUID(int=2)].business_key == UUID(int=2)
        assert numbers(list(loaded.by_content)) == [2, 4]
        assert numbers(list(loaded.absent)) == [3]

    def test_tells_of_one_more_than_was_given_out(self) -> None:
        loaded = match_loaded(
            lines=[line(1, 60), line(2, 60)],
            found=[stored("a", 60), stored("b", 60), stored("c", 60)],
        )

        ((key, twins),) = loaded.doubled.items()
        assert (key.int, [twin.target_code for twin in twins]) == (1, ["a", "c"])
        assert numbers(list(loaded.same)) == [2]
