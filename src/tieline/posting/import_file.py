"""The bytes of a file that people load by hand; pure, and the same bytes for the same lines."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence

from tieline.kernel.errors import MendTieline
from tieline.sdk import ColumnKind, ImportLayout

# How a cell begins that a spreadsheet would compute instead of show.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_DEFUSED = "'"
_NUMBER = re.compile(r"[0-9][0-9:.,/-]*")


def write_rows(*, layout: ImportLayout, rows: Sequence[Sequence[str]]) -> bytes:
    """Return the file: names of the columns, then the rows as they are given.

    :raises MendTieline: a row has not the form of its layout.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.name for column in layout.columns])
    for row in rows:
        if len(row) != len(layout.columns):
            raise MendTieline(f"a row of {len(row)} values for {len(layout.columns)} columns")
        writer.writerow(
            [_cell(value, column.kind) for value, column in zip(row, layout.columns, strict=True)]
        )
    return text.getvalue().encode("utf-8")


def unsafe_words(*, layout: ImportLayout, row: Sequence[str]) -> list[str]:
    """Name the columns whose value a spreadsheet would compute and an import must find as it is."""
    return [
        column.name
        for value, column in zip(row, layout.columns, strict=True)
        if column.kind is ColumnKind.WORD and _FORMULA.match(value)
    ]


def checksum_of(content: bytes) -> str:
    """Return the SHA-256 by which a person knows the file again."""
    return hashlib.sha256(content).hexdigest()


def _cell(value: str, kind: ColumnKind) -> str:
    match kind:
        case ColumnKind.TEXT:
            return f"{_DEFUSED}{value}" if _FORMULA.match(value) else value
        case ColumnKind.NUMBER:
            if not _NUMBER.fullmatch(value):
                raise MendTieline(f"{value!r} is no date, duration or count")
            return value
        case ColumnKind.WORD:
            if _FORMULA.match(value):
                raise MendTieline("a word that begins like a formula cannot go into a file")
            return value
