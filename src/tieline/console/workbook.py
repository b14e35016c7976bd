"""Tables as XLSX: real numbers and dates, and a first sheet that says what they are.

Text stays text, whatever it begins with: nothing that somebody typed is ever computed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from importlib.metadata import version
from typing import TypeVar

from fastapi.responses import Response
from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from tieline.kernel.errors import UserMistake

Item = TypeVar("Item")
Cell = str | int | Decimal | date | datetime | None

ROWS_MAX = 100_000
_TEXT_MAX = 32_767
_SHEET_NAME_MAX = 31
_SECONDS_PER_HOUR = 3600
_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_NOT_IN_A_SHEET_NAME = re.compile(r"[\[\]:*?/\\']")
# What a program computes when it meets it at the beginning of a cell that was once saved as CSV.
_COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n")


class Kind(StrEnum):
    """What a column holds, and how a cell of it is written."""

    TEXT = "text"
    HOURS = "hours"
    AMOUNT = "amount"
    RATE = "rate"
    COUNT = "count"
    DAY = "day"
    INSTANT = "instant"


_NUMBER_FORMATS: Mapping[Kind, str] = {
    Kind.HOURS: "#,##0.00",
    Kind.AMOUNT: "#,##0.00",
    Kind.RATE: "#,##0.00########",
    Kind.COUNT: "#,##0",
    Kind.DAY: "yyyy-mm-dd",
    Kind.INSTANT: "yyyy-mm-dd hh:mm",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column by its title; hours are given in seconds, instants become UTC."""

    title: str
    kind: Kind = Kind.TEXT
    width: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table; a row has a cell per column, None where there is nothing to say."""

    name: str
    columns: Sequence[Column]
    rows: Iterable[Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the first sheet says of all others."""

    title: str
    as_of: datetime
    by: str
    filters: Mapping[str, str]
    notes: Sequence[str] = ()


def make_workbook(*, about: About, sheets: Sequence[Sheet]) -> bytes:
    """Return an XLSX file: what it is, then each table with a header that stays in sight.

    :raises UserMistake: a table has more rows than a file should hold.
    """
    target = io.BytesIO()
    with Workbook(target, {"constant_memory": True, "remove_timezone": False}) as book:
        writer = _Writer(book)
        writer.write_about(about)
        for sheet in sheets:
            writer.write_sheet(sheet)
    return target.getvalue()


def download(*, name: str, content: bytes) -> Response:
    """Answer with a file for the browser to keep."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "tieline"
    return Response(
        content,
        media_type=_MEDIA_TYPE,
        headers={"content-disposition": f'attachment; filename="{safe}.xlsx"'},
    )


def all_pages(read: Callable[[int], Sequence[Item]], *, size: int) -> list[Item]:
    """Return every row of a list that is read by offset, no more than a file should hold and one."""
    found: list[Item] = []
    while len(found) <= ROWS_MAX:
        more = read(len(found))
        found += more
        if len(more) < size:
            break
    return found


class _Writer:
    """One workbook while it is written, with the formats its cells share."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self._bold = book.add_format({"bold": True})
        self._header = book.add_format(
            {"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"}
        )
        self._quoted = book.add_format({"quote_prefix": True})
        self._formats: dict[Kind, Format] = {
            kind: book.add_format({"num_format": text}) for kind, text in _NUMBER_FORMATS.items()
        }

    def write_about(self, about: About) -> None:
        sheet = self._book.add_worksheet("About")
        sheet.set_column(0, 0, 18)
        sheet.set_column(1, 1, 60)
        sheet.write_string(0, 0, "Tieline", self._bold)
        self._text(sheet, 0, 1, about.title)
        facts: list[tuple[str, Cell]] = [
            ("As of (UTC)", about.as_of),
            *((f"Filter: {name}", value or "all") for name, value in about.filters.items()),
            ("Made by", about.by),
            ("Version", version("tieline")),
            *(("Note", note) for note in about.notes),
        ]
        for number, (name, value) in enumerate(facts, start=1):
            sheet.write_string(number, 0, name, self._bold)
            kind = Kind.INSTANT if isinstance(value, datetime) else Kind.TEXT
            self._cell(sheet, number, 1, kind, value)

    def write_sheet(self, sheet: Sheet) -> None:
        name = _NOT_IN_A_SHEET_NAME.sub(" ", sheet.name)[:_SHEET_NAME_MAX]
        target = self._book.add_worksheet(name)
        for number, column in enumerate(sheet.columns):
            target.set_column(number, number, column.width)
            target.write_string(0, number, column.title, self._header)
        target.freeze_panes(1, 0)
        last = 0
        for last, row in enumerate(sheet.rows, start=1):
            if last > ROWS_MAX:
                raise UserMistake(f"more than {ROWS_MAX} rows: narrow the filter")
            for number, (column, value) in enumerate(zip(sheet.columns, row, strict=True)):
                self._cell(target, last, number, column.kind, value)
        target.autofilter(0, 0, last, len(sheet.columns) - 1)

    def _cell(self, sheet: Worksheet, row: int, column: int, kind: Kind, value: Cell) -> None:
        if value is None:
            return
        if kind is Kind.TEXT or isinstance(value, str):
            # A word among numbers says why there is no number.
            self._text(sheet, row, column, str(value))
        elif isinstance(value, datetime):
            local = value.astimezone(UTC).replace(tzinfo=None)
            sheet.write_datetime(row, column, local, self._formats[kind])
        elif isinstance(value, date):
            sheet.write_datetime(row, column, value, self._formats[kind])
        else:
            number = Decimal(value) / _SECONDS_PER_HOUR if kind is Kind.HOURS else value
            sheet.write_number(row, column, number, self._formats[kind])

    def _text(self, sheet: Worksheet, row: int, column: int, text: str) -> None:
        kept = text.encode("utf-8", "replace").decode("utf-8")[:_TEXT_MAX]
        form = self._quoted if kept.startswith(_COMPUTED) else None
        sheet.write_string(row, column, kept, form)
