"""What every connector with an import layout promises: its file is one that the target itself loads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.promises.connectors.test_promises import PACKAGES
from tests.support.books_desk import BooksDesk
from tieline.canonical import TimeLineCommand
from tieline.posting.import_file import checksum_of, unsafe_words, write_rows
from tieline.sdk import ImportLine
from tieline.sdk.promises import load_subject

NOWHERE = "http://127.0.0.1:9"
# Where a file of each is loaded by the target itself, and every line comes out as sent.
LOADED = {
    "tieline.connectors.tryton": Path("tests/rooms/sandbox_erp/test_loading.py"),
    "tieline.proof.books": Path(__file__),
}
LINES = [
    TimeLineCommand(
        business_key=UUID(int=number),
        entity_code="HR-DE",
        person_code="77",
        task_code="501",
        work_date=date(2026, 10, number),
        seconds=3599 + number,
        narrative=narrative,
    )
    for number, narrative in enumerate(("=1+1", '@x;"y",\n€', None), start=1)
]


def _line(command: TimeLineCommand) -> ImportLine:
    return ImportLine(command=command, employee_code="E-1", work_code="T-1", task_key=None)


def _loaders() -> dict[str, Any]:
    built = {package: load_subject(package).build(base_url=NOWHERE) for package in PACKAGES}
    built["tieline.proof.books"] = BooksDesk("unique").connector
    return {name: each for name, each in built.items() if hasattr(each, "import_layout")}


@pytest.mark.parametrize("package", sorted(_loaders()))
class TestEveryLayout:
    def test_takes_a_line_whole_and_carries_its_key(self, package: str) -> None:
        loader = _loaders()[package]
        layout = loader.import_layout()
        rows = [loader.import_row(line=_line(each)) for each in LINES]

        assert rows == [loader.import_row(line=_line(each)) for each in LINES]
        assert [unsafe_words(layout=layout, row=row) for row in rows] == [[], [], []]
        content = write_rows(layout=layout, rows=rows)
        assert checksum_of(content) == checksum_of(write_rows(layout=layout, rows=rows))
        (carrier,) = [n for n, column in enumerate(layout.columns) if column.carries_key]
        assert len({row[carrier] for row in rows}) == len(rows)
        assert layout.steps
        assert layout.lines_max > 0

    def test_is_loaded_by_the_target_in_a_test(self, package: str) -> None:
        root = Path(__file__).parents[3]

        assert package in LOADED, f"load a file of {package} into the target, in a test named here"
        assert (root / LOADED[package]).exists()


class TestBooks:
    @pytest.mark.parametrize(
        ("profile", "second", "stands"), [("unique", 409, 3), ("upsert", 200, 3), ("probe", 200, 6)]
    )
    def test_load_a_file_as_sent_and_show_what_a_second_time_makes(
        self, profile: str, second: int, stands: int
    ) -> None:
        desk = BooksDesk(profile)
        content = _content(desk)

        assert desk.load(content) == 200
        assert _found(desk) == [line.content() for line in LINES]
        assert desk.load(content) == second
        assert len(_found(desk)) == stands

    def test_load_no_part_of_a_file(self) -> None:
        desk = BooksDesk("unique")

        assert desk.load(_content(desk).replace(b"3600", b"3.6e3")) == 422
        assert _found(desk) == []

    def test_that_keep_no_references_get_no_file(self) -> None:
        assert not hasattr(BooksDesk("naive-erp").connector, "import_layout")


def _content(desk: BooksDesk) -> bytes:
    rows: Sequence[Any] = [desk.connector.import_row(line=_line(each)) for each in LINES]
    return write_rows(layout=desk.connector.import_layout(), rows=rows)


def _found(desk: BooksDesk) -> list[Any]:
    stored = desk.connector.find_loaded(entity_code="HR-DE", lines=LINES, since=datetime.now(UTC))
    return [line.content() for line in stored]
