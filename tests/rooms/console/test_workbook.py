"""Tables as XLSX, opened again as a spreadsheet program would."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from tieline.console import workbook
from tieline.console.workbook import About, Column, Kind, Sheet, download, make_workbook
from tieline.kernel.errors import UserMistake

ABOUT = About(
    title="Missing time",
    as_of=datetime(2026, 11, 3, 9, 30, tzinfo=UTC),
    by="ann",
    filters={"entity": "DE", "week": ""},
)
COLUMNS = (
    Column(title="Person"),
    Column(title="Hours", kind=Kind.HOURS),
    Column(title="Amount", kind=Kind.AMOUNT),
    Column(title="Day", kind=Kind.DAY),
)
_NAME = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def opened(content: bytes, sheet: int) -> ElementTree.Element:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return ElementTree.fromstring(file.read(f"xl/worksheets/sheet{sheet}.xml"))


def cells_of(content: bytes, sheet: int) -> list[list[tuple[str, str]]]:
    rows = opened(content, sheet).iter(f"{_NAME}row")
    return [
        [(cell.get("t", "n"), "".join(cell.itertext())) for cell in row.iter(f"{_NAME}c")]
        for row in rows
    ]


def table(*rows: tuple[workbook.Cell, ...]) -> bytes:
    return make_workbook(about=ABOUT, sheets=[Sheet(name="Who: what?", columns=COLUMNS, rows=rows)])


class TestAWorkbook:
    def test_holds_numbers_and_days_and_not_their_pictures(self) -> None:
        content = table(("Ann", 5400, Decimal("1234.56"), date(2026, 10, 5)))

        row = cells_of(content, 2)[1]

        assert row == [("inlineStr", "Ann"), ("n", "1.5"), ("n", "1234.56"), ("n", "46300")]

    def test_computes_nothing_that_somebody_typed(self) -> None:
        typed = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "http://example.org", "{=1}"]

        content = table(*((text, 0, Decimal(0), None) for text in typed))

        first = [row[0] for row in cells_of(content, 2)[1:]]
        assert [kind for kind, _ in first] == ["inlineStr"] * len(typed)
        assert first[0][1] == "=1+1"
        assert not list(opened(content, 2).iter(f"{_NAME}f"))
        assert not list(opened(content, 2).iter(f"{_NAME}hyperlink"))

    def test_says_first_what_it_is(self) -> None:
        facts = [row for row in cells_of(table(), 1) if row[0][1] != "As of (UTC)"]

        said = {row[0][1]: row[1][1] for row in facts}
        assert said["Tieline"] == "Missing time"
        assert (said["Filter: entity"], said["Filter: week"]) == ("DE", "all")
        assert said["Made by"] == "ann"
        assert said["Version"]

    def test_keeps_its_header_in_sight(self) -> None:
        pane = next(opened(table(), 2).iter(f"{_NAME}pane"))

        assert (pane.get("ySplit"), pane.get("state")) == ("1", "frozen")

    def test_takes_text_of_any_length_and_letters(self) -> None:
        content = table(("x" * 40_000, 0, None, None), ("a\x00b\x0b\ud800", 0, None, None))

        rows = cells_of(content, 2)
        assert len(rows[1][0][1]) == 32_767
        assert rows[2][0][1].startswith("a")

    def test_refuses_more_rows_than_a_file_should_hold(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workbook, "ROWS_MAX", 2)

        with pytest.raises(UserMistake, match="more than 2 rows"):
            table(*[("Ann", 0, None, None)] * 3)


def test_a_download_has_a_name_that_no_header_breaks_on() -> None:
    answer = download(name='Missing time "DE"\r\nx: y', content=b"")

    assert answer.headers["content-disposition"] == (
        'attachment; filename="Missing-time-DE-x-y.xlsx"'
    )
