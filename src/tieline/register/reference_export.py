"""Write what stands of a noun, or stood, as a file of it would say it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from tieline.register.reference_cells import file_columns, value_in_words
from tieline.register.reference_nouns import FileColumn, Kind, Noun
from tieline.register.reference_plan import only_of
from tieline.runtime.database import Row

# What a file names by its code; clients, people and tasks are named by their ids, which a file may hold, too.
_CODES: Mapping[Kind, str] = {
    Kind.CONTRACT: "SELECT contract_id AS id, contract_code AS word FROM contract",
    Kind.PROJECT: "SELECT project_id AS id, project_code AS word FROM project",
}


def rows_known_at(
    connection: Connection[Row], *, noun: Noun, known_at: datetime
) -> list[list[str]]:
    """Return the header and the rows that were known at an instant, in the order of their key."""
    columns = file_columns(noun)
    words = {
        each.kind: {
            row["id"]: row["word"] for row in connection.execute(_CODES[each.kind].encode())
        }
        for each in columns
        if each.kind in _CODES
    }
    rows = connection.execute(
        sql.SQL(
            "SELECT * FROM {table} WHERE recorded_at <= %(at)s"
            " AND (superseded_at IS NULL OR superseded_at > %(at)s) {only} ORDER BY {order}, starts_on"
        ).format(
            table=sql.Identifier(noun.table),
            only=only_of(noun),
            order=sql.SQL(", ").join(map(sql.Identifier, noun.key)),
        ),
        {"at": known_at},
    )
    return [
        [column.name for column in columns],
        *(list(_cells(row, columns, words)) for row in rows),
    ]


def as_csv(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows as a file that may be loaded."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _cells(
    row: Row, columns: Sequence[FileColumn], words: Mapping[Kind, Mapping[Any, str]]
) -> Iterator[str]:
    for column in columns:
        value = row[column.column]
        if column.kind in words and value is not None:
            yield words[column.kind][value]
        else:
            yield value_in_words(value)
