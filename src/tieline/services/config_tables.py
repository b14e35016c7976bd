"""What a firm says of other systems' codes, of who owns a field, of accounts and templates, in its configuration.

Pattern: with the plan of a configuration, in its transaction. Vendor calls: none. A table that a file names is
the whole of it, as in a file of its own; what moves money is proposed, and a second person agrees to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.register import NOUNS, Cells, Noun, file_columns
from tieline.runtime.database import Row
from tieline.services.reference_files import File, export_file, load_file, mistakes_of_file

Rows = Sequence[Mapping[str, str]]

# How systems understand each other; terms of clients and contracts have files of their own.
CONFIGURED: Mapping[str, Noun] = {
    name: NOUNS[name]
    for name in (
        "inbound-codes",
        "outbound-codes",
        "field-owners",
        "tax-treatments",
        "revenue-accounts",
        "project-templates",
        "template-choices",
    )
}
ROWS_MAX = 5_000
_MISTAKES_TOLD_MAX = 20


def export_tables(
    connection: Connection[Row], *, now: datetime
) -> tuple[dict[str, list[dict[str, str]]], list[str]]:
    """Return the rows of each table, and the names of those that are too large for a configuration."""
    found, apart = {}, []
    for name in CONFIGURED:
        header, *rows = export_file(connection, noun=name, known_at=now)
        if len(rows) > ROWS_MAX:
            apart.append(name)
        else:
            found[name] = [
                {column: cell for column, cell in zip(header, row, strict=True) if cell}
                for row in rows
            ]
    return found, apart


def row_by_row(name: str, rows: Rows) -> dict[str, Mapping[str, str]]:
    """Return rows by what tells them apart in words, so that two tables can be compared."""
    noun = CONFIGURED[name]
    keys = [each.name for each in file_columns(noun) if each.column in (*noun.key, "starts_on")]
    return {" ".join(filter(None, (row.get(key) for key in keys))): row for row in rows}


def why_not_loaded(
    connection: Connection[Row],
    *,
    name: str,
    rows: Rows,
    connections: frozenset[str],
    entities: frozenset[str],
) -> Iterator[str]:
    """Say what a table names that does not exist here, but for what the same file brings."""
    for mistake in mistakes_of_file(connection, file=_file(name, rows))[:_MISTAKES_TOLD_MAX]:
        row = rows[mistake.line - 1] if mistake.line else {}
        if row.get("connection") in connections or row.get("entity") in entities:
            continue
        place = f"tables.{name}" + (f", row {mistake.line}" if mistake.line else "")
        yield f"{place}{f', {mistake.column}' if mistake.column else ''}: {mistake.sentence}"


def why_refused(name: str, rows: Rows, *, apart: Sequence[str]) -> tuple[str, ...]:
    """Say why a table cannot be taken from a configuration at all."""
    if name not in CONFIGURED:
        return (f"tables.{name}: a configuration holds {', '.join(CONFIGURED)}",)
    if name in apart:
        return (
            f"tables.{name}: more than {ROWS_MAX} rows stand there: tieline register load {name}",
        )
    known = {each.name for each in file_columns(CONFIGURED[name])}
    unknown = sorted({column for row in rows for column in row} - known)
    return tuple(f"tables.{name}: {column} is no column of it" for column in unknown)


def load_table(
    connection: Connection[Row], *, name: str, rows: Rows, by: str, reason: str, now: datetime
) -> str:
    """Load a table, or propose it where it moves money; return whom it waits for, or ''.

    :raises UserMistake: a row cannot be loaded, nothing changes, or it was proposed already.
    """
    try:
        loaded = load_file(connection, file=_file(name, rows), by=by, reason=reason, now=now)
    except UserMistake as error:
        raise UserMistake(f"tables.{name}: {error}") from error
    if loaded.proposal_id is None:
        return ""
    return f"{name} waits for a second person: tieline proposals approve {loaded.proposal_id}"


def _file(name: str, rows: Rows) -> File:
    columns = [each.name for each in file_columns(CONFIGURED[name])]
    return File(
        noun=CONFIGURED[name],
        name="configuration",
        rows=tuple(
            Cells(line=number, cells={column: row.get(column, "") for column in columns})
            for number, row in enumerate(rows, start=1)
        ),
        is_whole=True,
    )
