"""Read a file of reference data: every cell that cannot be meant is said with its line and column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, Never
from uuid import UUID

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.kernel.money import seconds_from_hours
from tieline.register.names import email_key, name_key, vat_key
from tieline.register.reference_nouns import Empty, FileColumn, Kind, Noun
from tieline.runtime.database import Row

FILE_BYTES_MAX = 20 * 1024**2
_NAME_CHARACTERS_TOLD = 60
_FAULTS_TOLD_MAX = 10
ROWS_MAX = 200_000
_CELL_CHARACTERS_MAX = 1_000
_DIGITS_MAX = 15
_WHOLE_MAX = 10**12
_EXPONENT_MAX = 20
_WEEK_DAYS = 7
_DAY_SECONDS_MAX = 86_400
STARTS_ON = FileColumn(name="starts_on", kind=Kind.DAY, says="The first day on which it holds.")
ENDS_ON = FileColumn(
    name="ends_on",
    kind=Kind.DAY,
    says="The first day on which it does not hold; empty: until the next row of its key.",
    empty=Empty.UNKNOWN,
)
_CURRENCY = re.compile(r"[A-Z]{3}")
# A spreadsheet would run these; as a code or a name they are never meant.
_FORMULA = ("=", "@", "\t", "\r")
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_KNOWN: Mapping[Kind, str] = {
    Kind.ENTITY: "SELECT entity_code AS word, entity_code AS id FROM legal_entity",
    Kind.CRM: "SELECT connection_key AS word, connection_key AS id FROM connection WHERE kind = 'crm'",
    Kind.ERP: "SELECT connection_key AS word, connection_key AS id FROM connection WHERE kind = 'erp'",
    Kind.CONTRACT: "SELECT contract_code AS word, contract_id AS id FROM contract",
    Kind.PROJECT: "SELECT project_code AS word, project_id AS id FROM project",
    Kind.CLIENT: """
        SELECT v.name_key AS word, coalesce(c.redirect_to, c.client_id) AS id
        FROM client c JOIN client_version v USING (client_id) WHERE v.superseded_at IS NULL
        UNION SELECT unnest(ARRAY[n.compact, regexp_replace(n.compact, '^' || coalesce(v.country_code, ''), '')]),
               coalesce(c.redirect_to, c.client_id)
        FROM client c JOIN client_version v USING (client_id)
        CROSS JOIN LATERAL (SELECT regexp_replace(upper(v.vat_number), '[^0-9A-Z]', '', 'g') AS compact) n
        WHERE v.superseded_at IS NULL AND n.compact <> ''
        UNION SELECT client_id::text, coalesce(redirect_to, client_id) FROM client""",
    Kind.TASK: """
        SELECT p.project_code || '/' || t.task_name AS word, t.task_id AS id
        FROM task t JOIN project p USING (project_id) WHERE t.superseded_at IS NULL
        UNION SELECT task_id::text, task_id FROM task""",
    Kind.PERSON: """
        SELECT lower(s.email) AS word, coalesce(p.redirect_to, p.person_id) AS id
        FROM subject s JOIN person p ON p.person_id = s.subject_id
        WHERE s.kind = 'person' AND s.email IS NOT NULL
        UNION SELECT lower(e.employee_code), coalesce(p.redirect_to, p.person_id)
        FROM employment e JOIN person p USING (person_id) WHERE e.superseded_at IS NULL
        UNION SELECT person_id::text, coalesce(redirect_to, person_id) FROM person""",
}


class Cells(NamedTuple):
    """One row as it stands in the file."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Why a line cannot be loaded; ``column`` is '' where it is the line as a whole."""

    line: int
    column: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """One row as its table will hold it, by the table's columns."""

    line: int
    values: Mapping[str, Any]


def file_columns(noun: Noun) -> tuple[FileColumn, ...]:
    """Return every column that a file of a noun may have."""
    return (*noun.columns, STARTS_ON, ENDS_ON)


def read_cells(body: bytes, *, noun: Noun) -> tuple[Cells, ...]:
    """Return the rows of a file, separated by commas or semicolons.

    :raises UserMistake: it is no such file, or its header is not that of the noun.
    """
    if len(body) > FILE_BYTES_MAX:
        raise UserMistake(f"the file is larger than {FILE_BYTES_MAX // 1024**2} MB: cut it in two")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserMistake(f"the file is not UTF-8: byte {error.start + 1} is no text") from error
    if "\x00" in text:
        raise UserMistake("the file is not a text: it has a NUL in it")
    first = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=";" if first.count(";") > first.count(",") else ",",
        strict=True,
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, noun)
        rows = [
            Cells(line=reader.line_num, cells=_row(header, cells, reader.line_num))
            for cells in reader
            if any(map(str.strip, cells))
        ]
    except csv.Error as error:
        raise UserMistake(
            f"line {reader.line_num}: it cannot be cut into cells: {error}"
        ) from error
    if len(rows) > ROWS_MAX:
        raise UserMistake(f"the file has {len(rows)} rows, of at most {ROWS_MAX}: cut it in two")
    return tuple(rows)


def understand(
    connection: Connection[Row], *, noun: Noun, rows: Sequence[Cells]
) -> tuple[list[Meant], list[Mistake]]:
    """Return what the rows mean, and every cell that means nothing."""
    meant, mistakes = understand_columns(
        connection,
        columns=file_columns(noun),
        one_of=noun.one_of,
        together=noun.together,
        rows=rows,
    )
    by, column, words = noun.words_by
    if not words:
        return meant, mistakes
    known, unknown = [], []
    for row in meant:
        may_be = words.get(row.values[by])
        if may_be is None or row.values[column] in may_be:
            known.append(row)
            continue
        sentence = f"of the {by} {row.values[by]} it is none of {', '.join(may_be)}"
        unknown.append(Mistake(line=row.line, column=column, sentence=sentence))
    return known, mistakes + unknown


def understand_columns(
    connection: Connection[Row],
    *,
    columns: Sequence[FileColumn],
    rows: Sequence[Cells],
    one_of: Sequence[tuple[str, ...]] = (),
    together: Sequence[tuple[str, str]] = (),
) -> tuple[list[Meant], list[Mistake]]:
    """Return what rows with these columns mean, and every cell that means nothing."""
    known = {
        kind: _known(connection, kind) for kind in {each.kind for each in columns} & set(_KNOWN)
    }
    meant: list[Meant] = []
    mistakes: list[Mistake] = []
    for row in rows:
        values: dict[str, Any] = {}
        faults: list[Mistake] = []
        for column in columns:
            try:
                values[column.column] = _value(column, row.cells.get(column.name, ""), known)
            except _Unclear as error:
                faults.append(Mistake(line=row.line, column=column.name, sentence=str(error)))
        faults += _row_faults(row, values, one_of=one_of, together=together)
        if faults:
            mistakes += faults
        else:
            meant.append(Meant(line=row.line, values=values))
    return meant, mistakes


def _row_faults(
    row: Cells,
    values: Mapping[str, Any],
    *,
    one_of: Sequence[tuple[str, ...]],
    together: Sequence[tuple[str, str]],
) -> list[Mistake]:
    """Return what is wrong between cells that each mean something."""
    faults = []
    starts_on, ends_on = values.get("starts_on"), values.get("ends_on")
    if starts_on is not None and ends_on is not None and ends_on <= starts_on:
        faults.append(("ends_on", "it ends before it starts"))
    faults += [
        ("", f"exactly one of {', '.join(names)} must be filled")
        for names in one_of
        if sum(bool(row.cells.get(name)) for name in names) != 1
    ]
    faults += [
        ("", f"{one} and {other} go together")
        for one, other in together
        if bool(row.cells.get(one)) != bool(row.cells.get(other))
    ]
    return [Mistake(line=row.line, column=column, sentence=said) for column, said in faults]


class _Unclear(ValueError):
    """A cell is not what its column needs."""


def _check_header(header: Sequence[str], noun: Noun) -> None:
    columns = file_columns(noun)
    names = {each.name for each in columns}
    wrong = [
        f"{name[:_NAME_CHARACTERS_TOLD] or '(no name)'} is no column of {noun.name}"
        for name in header
        if name not in names
    ]
    wrong += [f"{name} stands twice" for name in sorted(names) if header.count(name) > 1]
    wrong += [
        f"{each.name} is missing"
        for each in columns
        if each.empty is Empty.REFUSED and each.name not in header
    ]
    if wrong:
        told, more = wrong[:_FAULTS_TOLD_MAX], len(wrong) - _FAULTS_TOLD_MAX
        raise UserMistake(
            f"the first line: {'; '.join(told)}" + (f"; and {more} more" if more > 0 else "")
        )


def _row(header: Sequence[str], cells: Sequence[str], line: int) -> dict[str, str]:
    if len(cells) > len(header):
        raise UserMistake(f"line {line}: it has {len(cells)} cells, the header has {len(header)}")
    return dict(zip(header, map(str.strip, cells), strict=False))


def _known(connection: Connection[Row], kind: Kind) -> dict[str, frozenset[Any]]:
    found: dict[str, frozenset[Any]] = {}
    for row in connection.execute(_KNOWN[kind].encode()).fetchall():
        found[row["word"]] = found.get(row["word"], frozenset()) | {row["id"]}
    return found


def _value(
    column: FileColumn, cell: str, known: Mapping[Kind, Mapping[str, frozenset[Any]]]
) -> Any:
    if not cell:
        if column.empty is Empty.REFUSED:
            _refuse("it is empty")
        return "" if column.empty is Empty.EVERY else None
    if len(cell) > _CELL_CHARACTERS_MAX:
        _refuse(f"it is longer than {_CELL_CHARACTERS_MAX} characters")
    if column.words and cell not in column.words:
        _refuse(f"it is none of {', '.join(column.words)}")
    match column.kind:
        case Kind.TEXT:
            return cell if not cell.startswith(_FORMULA) else _refuse("it begins like a formula")
        case Kind.DAY:
            return _day(cell)
        case Kind.NUMBER | Kind.WHOLE:
            return _number(column, cell)
        case Kind.YES_NO:
            return _yes_or_no(cell)
        case Kind.CURRENCY:
            return cell if _CURRENCY.fullmatch(cell) else _refuse("it is no currency such as EUR")
        case Kind.WEEK:
            return _week(cell)
        case (
            Kind.ENTITY | Kind.CLIENT | Kind.CONTRACT | Kind.PROJECT | Kind.TASK | Kind.PERSON
            | Kind.CRM | Kind.ERP
        ):  # fmt: skip
            return _thing(column.kind, cell, known[column.kind])


def _week(cell: str) -> list[int]:
    try:
        seconds = [seconds_from_hours(Decimal(word)) for word in cell.split()]
    except (ArithmeticError, ValueError):
        _refuse("it is no week such as 8 8 8 8 6 0 0")
    if len(seconds) != _WEEK_DAYS or not all(0 <= day <= _DAY_SECONDS_MAX for day in seconds):
        _refuse("it is not the hours of seven days from Monday on, such as 8 8 8 8 6 0 0")
    return seconds


def _yes_or_no(cell: str) -> bool:
    return _YES[cell.lower()] if cell.lower() in _YES else _refuse("it is neither yes nor no")


def _thing(kind: Kind, cell: str, known: Mapping[str, frozenset[Any]]) -> Any:
    words = {cell, cell.lower()}
    if kind is Kind.CLIENT:
        # A tax number is the same however it is typed, and with or without its country.
        words |= {name_key(cell), vat_key(cell, country_code=None) or ""}
    if kind is Kind.PERSON:
        words |= {email_key(cell) or ""}
    found = frozenset[Any]().union(*(known.get(word, frozenset()) for word in words))
    if not found:
        _refuse(f"no {kind} is known as {cell}")
    if len(found) > 1:
        _refuse(f"{len(found)} of the kind {kind} are known as {cell}: give its id")
    (one,) = found
    return one


def _day(cell: str) -> date:
    try:
        return date.fromisoformat(cell)
    except ValueError:
        _refuse("it is no day such as 2026-10-31")


def _number(column: FileColumn, cell: str) -> Decimal | int:
    # Python also reads 1_000 and the digits of other scripts; whoever wrote them meant something that nobody knows.
    is_plain = cell.isascii() and "_" not in cell
    try:
        number = Decimal(cell if is_plain else "")
    except InvalidOperation:
        _refuse("it is no number such as 1250.50")
    if not number.is_finite() or len(number.as_tuple().digits) > _DIGITS_MAX:
        _refuse("it is no number that can be meant")
    # Nothing is computed with 1e400000000, not even whether it is too large.
    if abs(number.adjusted()) > _EXPONENT_MAX:
        _refuse(
            "it is too large to be meant"
            if number.adjusted() > 0
            else "it is too small to be meant"
        )
    if abs(number) > _WHOLE_MAX:
        _refuse("it is too large to be meant")
    if column.minimum is not None and number < column.minimum:
        _refuse(f"it is less than {column.minimum}")
    if column.maximum is not None and number > column.maximum:
        _refuse(f"it is more than {column.maximum}")
    if column.is_above_zero and number <= 0:
        _refuse("it is not more than 0")
    if column.kind is Kind.NUMBER:
        return number
    return int(number) if number == int(number) else _refuse("it is no whole number")


def _refuse(sentence: str) -> Never:
    raise _Unclear(sentence)


def value_in_words(value: Any) -> str:
    """Return a value as a file would hold it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, UUID):
        return str(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)
