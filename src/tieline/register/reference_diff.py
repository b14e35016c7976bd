"""Compare a file with what stands: what stands word for word is found by the database and looked at no further."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from psycopg import Connection, sql

from tieline.register.reference_cells import Cells, Mistake, file_columns, understand
from tieline.register.reference_export import as_csv
from tieline.register.reference_nouns import FileColumn, Noun
from tieline.register.reference_plan import Plan, only_of, plan_rows
from tieline.runtime.database import Row

# Both sides of a hundred thousand rows fit; by the usual size they are written to disk and read back.
_MEMORY = "SET LOCAL work_mem = '64MB'"
_TOLD, _OPEN = sql.Identifier("pg_temp", "told_row"), sql.Identifier("pg_temp", "open_key")


def plan_cells(
    connection: Connection[Row], *, noun: Noun, rows: Sequence[Cells], is_whole: bool
) -> Plan:
    """Return what the rows of a file change, and every mistake in them, by line.

    A row without an end holds until the next one of its key begins, whether the file or the table
    has that one. Where the rows are the ``whole``, what they do not name goes.
    """
    left = _set_aside(connection, noun=noun, rows=rows, is_whole=is_whole)
    meant, mistakes = understand(connection, noun=noun, rows=left)
    plan = plan_rows(connection, noun=noun, rows=meant, is_whole=is_whole, only=_of_open_key(noun))
    return Plan(
        noun=noun,
        changes=plan.changes,
        same=plan.same + len(rows) - len(left),
        mistakes=tuple(sorted((*mistakes, *plan.mistakes), key=_place)),
    )


def _set_aside(
    connection: Connection[Row], *, noun: Noun, rows: Sequence[Cells], is_whole: bool
) -> Sequence[Cells]:
    """Return the rows of keys of which the file says anything else than what stands word for word.

    Their keys are left in ``open_key``, with those that only stand.
    """
    columns = file_columns(noun)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}, {}").format(_TOLD, _OPEN))
    connection.execute(
        sql.SQL("CREATE TEMP TABLE told_row (line integer, {}) ON COMMIT DROP").format(
            sql.SQL(", ").join(sql.SQL("{} text").format(_named(each)) for each in columns)
        )
    )
    # What says one thing twice is looked at as a whole.
    starts = [each.name for each in columns if each.column in (*noun.key, "starts_on")]
    told = () if len(set(_told(rows, starts))) < len(rows) else rows
    with (
        connection.cursor() as cursor,
        cursor.copy(
            sql.SQL("COPY {} FROM STDIN (FORMAT csv, FORCE_NOT_NULL ({}))").format(
                _TOLD, sql.SQL(", ").join(map(_named, columns))
            )
        ) as copy,
    ):
        names = [each.name for each in columns]
        rows_told = zip(told, _told(told, names), strict=True)
        copy.write(as_csv((str(row.line), *cells) for row, cells in rows_told))
    connection.execute(sql.SQL("ANALYZE {}").format(_TOLD))
    connection.execute(_MEMORY)
    connection.execute(_find_open(noun, columns, is_whole=is_whole))
    if not told:
        return rows
    lines = {
        row["line"]
        for row in connection.execute(
            sql.SQL(
                "SELECT line FROM {told} t WHERE EXISTS (SELECT FROM {open} k WHERE {same})"
            ).format(told=_TOLD, open=_OPEN, same=_all("k.{0} = t.{0}", noun.key))
        )
    }
    return [row for row in rows if row.line in lines]


def _told(rows: Iterable[Cells], names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield what each row says in these columns; none is kept, for a hundred thousand of them cost more than they say."""
    nothing = [""] * len(names)
    return (tuple(map(row.cells.get, names, nothing)) for row in rows)


def _find_open(noun: Noun, columns: Sequence[FileColumn], *, is_whole: bool) -> sql.Composed:
    key = noun.key
    return sql.SQL(
        """
        CREATE TEMP TABLE open_key ON COMMIT DROP AS
        SELECT {key} FROM pg_temp.told_row t FULL JOIN
            (SELECT {standing} FROM {table} s WHERE s.superseded_at IS NULL {only}) s ON {same_start}
        GROUP BY {grouped}
        HAVING NOT bool_and({unsaid} OR t.line IS NOT NULL AND s.starts_on IS NOT NULL AND {same})
            OR bool_and(t.line IS NULL)
        """
    ).format(
        key=sql.SQL(", ").join(
            sql.SQL("coalesce(t.{0}, s.{0}) AS {0}").format(sql.Identifier(name)) for name in key
        ),
        standing=sql.SQL(", ").join(
            sql.SQL("coalesce(s.{0}::text, '') AS {0}").format(_named(each)) for each in columns
        ),
        table=sql.Identifier(noun.table),
        only=only_of(noun),
        same_start=_all("t.{0} = s.{0}", (*key, "starts_on")),
        grouped=sql.SQL(", ").join(sql.Literal(number) for number, _ in enumerate(key, start=1)),
        # What the file does not say of a key goes where it is the whole, and stands where it is not.
        unsaid=sql.SQL("false" if is_whole else "t.line IS NULL"),
        same=_all("t.{0} = s.{0}", noun.values()),
    )


def _of_open_key(noun: Noun) -> sql.Composed:
    """Return the condition that a row that stands is of an open key."""
    return sql.SQL("AND EXISTS (SELECT FROM {open} k WHERE {same})").format(
        open=_OPEN, same=_all("k.{0} = coalesce(s.{0}::text, '')", noun.key)
    )


def _all(template: str, names: Sequence[str]) -> sql.Composed:
    # The templates are ours, the names are those of the noun's columns.
    return sql.SQL(" AND ").join(sql.SQL(template).format(sql.Identifier(name)) for name in names)


def _named(column: FileColumn) -> sql.Identifier:
    return sql.Identifier(column.column)


def _place(mistake: Mistake) -> tuple[int, str]:
    return mistake.line, mistake.column
