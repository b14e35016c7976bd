"""Read a file of hours, JSON or CSV: everything that cannot be meant is said with its place, and hides nothing else.

Pure. A number is read from its own text, never through a float; a file that is no file is refused at once.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Never

from tieline.kernel.errors import UserMistake
from tieline.kernel.money import SECONDS_PER_HOUR, seconds_from_hours

FILE_BYTES_MAX = 32 * 1024**2
# All of them are judged as neighbors of one another, in one statement.
ENTRIES_MAX = 50_000
NARRATIVE_CHARACTERS_MAX = 1_000_000
FORMAT = 1
_TEXT_CHARACTERS_MAX = 200
_SHOWN_CHARACTERS_MAX = 40
_GUESSED_CHARACTERS_MAX = 80
_SECONDS_MAX = 1_000_000_000
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)
_JSON_SPACE = re.compile(r"[ \t\n\r]*")
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Number(str):
    """A number as the file writes it."""

    __slots__ = ()


class Members(dict[str, Any]):
    """The members of an object; ``twice`` are the names that stand in it more than once."""

    twice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something cannot be read, and where it stands."""

    place: str
    line: int | None
    sentence: str

    def __str__(self) -> str:
        where = self.place + ("" if self.line is None else f" (line {self.line})")
        return f"{where}: {self.sentence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One entry of the file: ``values`` by the names of the fields, where nothing is wrong with it."""

    place: str
    line: int
    ref: str | None
    values: Mapping[str, Any]
    problems: tuple[Problem, ...]

    @property
    def connection(self) -> str:
        """Return the connection that it comes from."""
        return str(self.values.get("connection", DEFAULT_CONNECTION))


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursFile:
    """What a file holds; ``context`` is None where it says nothing of the firm."""

    records: tuple[Record, ...]
    context: Mapping[str, Any] | None
    as_of: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an entry."""

    name: str
    kind: str
    says: str
    read: Callable[[Any], Any]
    is_required: bool = False


class _Unclear(ValueError):
    """A value is not what its field needs."""


def read_hours(body: bytes, *, name: str) -> HoursFile:
    """Return what a file holds; ``name`` ends in .csv where it is one.

    :raises UserMistake: it is no such file, or too large.
    """
    text = _text_of(body, name)
    if not text.strip():
        raise UserMistake(f"{name} is empty")
    if name.lower().endswith(".csv"):
        file = _hours(_csv_records(text, name), context=None, as_of=None)
    else:
        read = _Document(text, name)
        file = _hours(read.entries, context=read.context(), as_of=read.as_of())
    if not file.records:
        raise UserMistake(f"{name} has no entry: there is nothing to judge")
    return file


def read_context(body: bytes, *, name: str) -> Mapping[str, Any]:
    """Return the context that a JSON file holds, alone or as the member of that name.

    :raises UserMistake: it is no such file, or too large.
    """
    text = _text_of(body, name)
    try:
        found = _decoder().decode(text)
    except json.JSONDecodeError as error:
        raise _no_json(name, error) from error
    except RecursionError as error:
        raise UserMistake(f"{name} is nested too deeply") from error
    inside = found.get("context", found) if isinstance(found, dict) else None
    if not isinstance(inside, dict):
        raise UserMistake(f"{name} holds no context: an object of lists, see the reference")
    return inside


def likely_meant(name: str, *, among: Iterable[str]) -> str:
    """Return the end of a sentence that says which known name a wrong one is likely for."""
    found = difflib.get_close_matches(name[:_GUESSED_CHARACTERS_MAX], list(among), n=1)
    return f": {found[0]} may be meant" if found else ""


# -- the file as a whole ---------------------------------------------------------------------------


def _text_of(body: bytes, name: str) -> str:
    if len(body) > FILE_BYTES_MAX:
        raise UserMistake(
            f"{name} has {len(body)} bytes, of at most {FILE_BYTES_MAX}: cut it into parts by person or week"
        )
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserMistake(f"{name} is no text in UTF-8: see byte {error.start + 1}") from error


class _Document:
    """A JSON file, cut into its entries with their lines."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._decoder = _decoder()
        self._members: dict[str, Any] = {}
        self.entries: list[tuple[str, int, Any]] = []
        try:
            self._read()
        except json.JSONDecodeError as error:
            raise _no_json(name, error) from error
        except RecursionError as error:
            raise UserMistake(f"{name} is nested too deeply to be a file of hours") from error

    def context(self) -> Mapping[str, Any] | None:
        found = self._members.get("context")
        if found is not None and not isinstance(found, dict):
            raise UserMistake(f"{self._name}: context is an object of lists")
        return found

    def as_of(self) -> datetime | None:
        found = self._members.get("as_of")
        if found is None:
            return None
        try:
            return _instant(found)
        except _Unclear as error:
            raise UserMistake(f"{self._name}: as_of: {error}") from error

    def _read(self) -> None:
        at = self._space(0)
        if self._text[at] == "[":
            at = self._elements(at)
        elif self._text[at] == "{":
            at = self._object(at)
        else:
            raise UserMistake(
                f"{self._name} holds a list of entries, or an object with one: see the reference"
            )
        at = self._space(at)
        if at < len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, at)

    def _object(self, at: int) -> int:
        known = ("format", "as_of", "context", "entries")
        is_told = False
        for name, value_at in self._names(at):
            if name not in known:
                raise UserMistake(
                    f"{self._name}: {_shown(name)} is no member of the file{likely_meant(name, among=known)}"
                )
            if name in self._members:
                raise UserMistake(f"{self._name}: {name} stands twice")
            if name == "entries":
                if self._text[value_at] != "[":
                    raise UserMistake(f"{self._name}: entries is a list")
                self._members[name], is_told = None, True
                self._end = self._elements(value_at)
            else:
                self._members[name], self._end = self._decoder.raw_decode(self._text, value_at)
        if not is_told:
            raise UserMistake(f"{self._name} has no member entries")
        if self._members.get("format", Number(FORMAT)) != str(FORMAT):
            raise UserMistake(f"{self._name}: format is {FORMAT}, the only one there is")
        return self._end

    def _names(self, at: int) -> Iterator[tuple[str, int]]:
        """Yield each name of an object and where its value begins; the caller says where it ended."""
        at = self._space(at + 1)
        if self._mark(at) == "}":
            self._end = at + 1
            return
        while True:
            if self._mark(at) != '"':
                raise json.JSONDecodeError("Expecting a name in quotes", self._text, at)
            name, at = self._decoder.raw_decode(self._text, at)
            at = self._space(at)
            if self._mark(at) != ":":
                raise json.JSONDecodeError("Expecting ':'", self._text, at)
            at = self._space(at + 1)
            self._need(at)
            yield name, at
            at = self._space(self._end)
            if self._mark(at) == "}":
                self._end = at + 1
                return
            if self._mark(at) != ",":
                raise json.JSONDecodeError("Expecting ',' or '}'", self._text, at)
            at = self._space(at + 1)

    def _elements(self, at: int) -> int:
        line, counted_to = 1, 0
        at = self._space(at + 1)
        if self._mark(at) == "]":
            return at + 1
        while True:
            self._need(at)
            line += self._text.count("\n", counted_to, at)
            counted_to = at
            value, at = self._decoder.raw_decode(self._text, at)
            _check_room(self.entries, self._name)
            self.entries.append((f"entries[{len(self.entries)}]", line, value))
            at = self._space(at)
            if self._mark(at) == "]":
                return at + 1
            if self._mark(at) != ",":
                raise json.JSONDecodeError("Expecting ',' or ']'", self._text, at)
            at = self._space(at + 1)

    def _space(self, at: int) -> int:
        found = _JSON_SPACE.match(self._text, at)
        assert found is not None
        return found.end()

    def _mark(self, at: int) -> str:
        return self._text[at : at + 1]

    def _need(self, at: int) -> None:
        if at >= len(self._text):
            raise json.JSONDecodeError("Expecting a value", self._text, at)


def _decoder() -> json.JSONDecoder:
    # "NaN" and its like are kept as what they are: each is the problem of its own field.
    return json.JSONDecoder(
        object_pairs_hook=_members, parse_int=Number, parse_float=Number, parse_constant=Number
    )


def _members(pairs: list[tuple[str, Any]]) -> Members:
    members = Members(pairs)
    if len(members) < len(pairs):
        members.twice = _twice(name for name, _ in pairs)
    return members


def _twice(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name, count in Counter(names).items() if count > 1)


def _no_json(name: str, error: json.JSONDecodeError) -> UserMistake:
    return UserMistake(
        f"{name} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    )


def _csv_records(text: str, name: str) -> list[tuple[str, int, Any]]:
    first = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=";" if first.count(";") > first.count(",") else ",",
        strict=True,
    )
    records: list[tuple[str, int, Any]] = []
    try:
        header = [cell.strip() for cell in next(reader)]
        if twice := _twice(header):
            raise UserMistake(f"{name}: the column {_shown(twice[0])} stands twice")
        for cells in reader:
            if len(cells) > len(header):
                raise UserMistake(
                    f"{name}: line {reader.line_num} has {len(cells)} cells, the header has {len(header)}"
                )
            if any(cell.strip() for cell in cells):
                row = {n: _cell(n, c) for n, c in zip(header, cells, strict=False) if c.strip()}
                _check_room(records, name)
                records.append((f"row {len(records) + 1}", reader.line_num, row))
    except csv.Error as error:
        raise UserMistake(
            f"{name} cannot be cut into cells: line {reader.line_num}: {error}"
        ) from error
    return records


def _check_room(entries: Sequence[Any], name: str) -> None:
    if len(entries) >= ENTRIES_MAX:
        raise UserMistake(
            f"{name} has more than {ENTRIES_MAX:,} entries: cut it into parts by person or week"
        )


def _cell(name: str, cell: str) -> Any:
    return _YES_NO.get(cell.strip().lower(), cell) if name in _YES_NO_FIELDS else cell.strip()


# -- one entry -------------------------------------------------------------------------------------


def _hours(
    found: Sequence[tuple[str, int, Any]],
    *,
    context: Mapping[str, Any] | None,
    as_of: datetime | None,
) -> HoursFile:
    records = [_record(place, line, value) for place, line, value in found]
    return HoursFile(records=tuple(_told_twice(records)), context=context, as_of=as_of)


def _record(place: str, line: int, value: Any) -> Record:
    if not isinstance(value, dict):
        problem = Problem(
            place=place, line=line, sentence="it is no object with the fields of an entry"
        )
        return Record(place=place, line=line, ref=None, values={}, problems=(problem,))
    values: dict[str, Any] = {}
    said = [(name, "it stands twice") for name in getattr(value, "twice", ())]
    for name, given in value.items():
        field = FIELDS_BY_NAME.get(name)
        if field is None:
            said.append(
                (name, f"an entry has no such field{likely_meant(name, among=FIELDS_BY_NAME)}")
            )
        elif given is not None:
            try:
                values[name] = field.read(given)
            except _Unclear as error:
                said.append((name, str(error)))
    said += [
        (field.name, "it is missing")
        for field in FIELDS
        if field.is_required and value.get(field.name) is None
    ]
    told = [name for name in ("hours", "seconds") if value.get(name) is not None]
    if len(told) != 1:
        said.append(("hours", "give either hours or seconds, and not both"))
    if (
        "started_at" in values
        and "ended_at" in values
        and values["ended_at"] < values["started_at"]
    ):
        said.append(("ended_at", "it ends before it starts"))
    problems = tuple(
        Problem(place=f"{place}.{_shown(name)}", line=line, sentence=sentence)
        for name, sentence in said
    )
    if "hours" in values:
        values["seconds"] = values.pop("hours")
    return Record(place=place, line=line, ref=values.get("ref"), values=values, problems=problems)


def _told_twice(records: Sequence[Record]) -> Iterator[Record]:
    """Add to whatever shares its connection and ref with another that neither is believed."""
    # A whole file may share one ref: each looks for one other, never at all of them.
    same: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.ref is not None:
            same.setdefault((record.connection, record.ref), []).append(record)
    for record in records:
        sharing = () if record.ref is None else same[(record.connection, record.ref)]
        other = next((each for each in sharing if each is not record), None)
        if other is None:
            yield record
            continue
        sentence = (
            f"{_shown(str(record.ref))} stands in {other.place} (line {other.line}), too:"
            " which of them counts cannot be known"
        )
        problem = Problem(place=f"{record.place}.ref", line=record.line, sentence=sentence)
        yield Record(
            place=record.place,
            line=record.line,
            ref=record.ref,
            values=record.values,
            problems=(*record.problems, problem),
        )


def _text(value: Any) -> str:
    return _words(value, _TEXT_CHARACTERS_MAX)


def _narrative(value: Any) -> str:
    return _words(value, NARRATIVE_CHARACTERS_MAX)


def _words(value: Any, longest: int) -> str:
    if type(value) is not str:
        _refuse(f"{_shown(value)} is no text in quotes")
    if "\x00" in value:
        _refuse("it has a NUL in it")
    if any("\ud800" <= mark <= "\udfff" for mark in value):
        _refuse("it has half a character in it")
    if len(value) > longest:
        _refuse(f"it has {len(value)} characters, of at most {longest}")
    return value if value.strip() else _refuse("it is empty")


def _day(value: Any) -> date:
    try:
        day = date.fromisoformat(_written(value))
    except ValueError:
        _refuse(f"{_shown(value)} is no day such as 2026-10-31")
    if not _FIRST_DAY <= day <= _LAST_DAY:
        _refuse(f"{day} is no day that can be meant: {_FIRST_DAY} to {_LAST_DAY}")
    return day


def _instant(value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(_written(value))
        if instant.tzinfo is None:
            _refuse(f"{_shown(value)} needs a zone, such as 2026-10-31T09:00:00+01:00")
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if isinstance(error, _Unclear):
            raise
        _refuse(f"{_shown(value)} is no instant such as 2026-10-31T09:00:00+01:00")
    day = instant.date()
    if not _FIRST_DAY - timedelta(days=1) <= day <= _LAST_DAY + timedelta(days=1):
        _refuse(f"{day} is no day that can be meant: {_FIRST_DAY} to {_LAST_DAY}")
    return instant


def _hours_as_seconds(value: Any) -> int:
    return seconds_from_hours(_number(value, most=Decimal(_SECONDS_MAX) / SECONDS_PER_HOUR))


def _seconds(value: Any) -> int:
    number = _number(value, most=Decimal(_SECONDS_MAX))
    return int(number) if number == int(number) else _refuse(f"{_shown(value)} is no whole number")


def _number(value: Any, *, most: Decimal) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        _refuse(f"{_shown(value)} is no number")
    if number.adjusted() > most.adjusted() or abs(number) > most:
        _refuse(f"{_shown(value)} is too large to be meant")
    return number


def _yes_no(value: Any) -> bool:
    return (
        value if isinstance(value, bool) else _refuse(f"{_shown(value)} is neither true nor false")
    )


def _written(value: Any) -> str:
    if type(value) is not str or len(value) > _SHOWN_CHARACTERS_MAX:
        raise ValueError(value)
    return value


def _refuse(sentence: str) -> Never:
    raise _Unclear(sentence)


def _shown(value: Any) -> str:
    """Return a value as one short piece of a line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text)
    if len(text) > _SHOWN_CHARACTERS_MAX:
        text = f"{text[:_SHOWN_CHARACTERS_MAX]}... ({len(text)} characters)"
    return text or "(nothing)"


DEFAULT_CONNECTION = "file"
FIELDS = (
    Field(
        name="ref",
        kind="text",
        says="What the source calls the entry; one of a kind within its connection.",
        read=_text,
        is_required=True,
    ),
    Field(
        name="connection",
        kind="text",
        says=f"The connection it comes from; `{DEFAULT_CONNECTION}` where none is named.",
        read=_text,
    ),
    Field(
        name="person",
        kind="text",
        says="Who worked, as the connection calls them.",
        read=_text,
        is_required=True,
    ),
    Field(name="project", kind="text", says="As the connection calls it.", read=_text),
    Field(name="task", kind="text", says="As the connection calls it.", read=_text),
    Field(
        name="labor_category",
        kind="text",
        says="Only where the source says it; else that of the assignment.",
        read=_text,
    ),
    Field(name="work_date", kind="day", says="The day on which was worked.", read=_day),
    Field(
        name="hours",
        kind="number",
        says="How long, as a decimal: 7.5; either this or seconds.",
        read=_hours_as_seconds,
    ),
    Field(name="seconds", kind="whole number", says="How long, exactly.", read=_seconds),
    Field(name="billable", kind="true or false", says="Empty: as the task says.", read=_yes_no),
    Field(
        name="approved",
        kind="true or false",
        says="false is judged early, as if it were approved; missing is not known, and held.",
        read=_yes_no,
    ),
    Field(name="approver", kind="text", says="As the connection calls them.", read=_text),
    Field(name="approved_at", kind="instant", says="When it was approved.", read=_instant),
    Field(
        name="narrative",
        kind="text",
        says="What was done; only its length is kept.",
        read=_narrative,
    ),
    Field(name="started_at", kind="instant", says="Where the source keeps a clock.", read=_instant),
    Field(name="ended_at", kind="instant", says="Where the source keeps a clock.", read=_instant),
    Field(
        name="created_at",
        kind="instant",
        says="When the entry was made; else at the instant it is judged as of.",
        read=_instant,
    ),
    Field(name="zone", kind="text", says="The time zone it was lived in.", read=_text),
)
FIELDS_BY_NAME = {field.name: field for field in FIELDS}
_YES_NO_FIELDS = frozenset(field.name for field in FIELDS if field.read is _yes_no)
