"""The declared mapping of a file: which columns are the key, and which canonical field each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tieline.canonical import Approval
from tieline.kernel.errors import UserMistake

# Only encodings in which a line feed is one byte and nothing else: rows are cut at bytes.
ENCODINGS = frozenset({"utf-8", "utf-8-sig", "latin-1", "cp1252", "iso-8859-15", "ascii"})
NOUN_OF_STREAM = {"time_entries": "time_entry", "staffing": "staffing_fact", "people": "person"}
_COMMON_KEYS = frozenset(
    "pattern encoding delimiter decimal_mark key repeats stable_seconds done_marker join fields"
    " formats values constants extras".split()
)
FIELDS: Mapping[str, frozenset[str]] = {
    "time_entries": frozenset(
        [
            "person_ref",
            "project_ref",
            "task_ref",
            "labor_category",
            "work_date",
            "zone",
            "hours",
            "minutes",
            "billable",
            "approval",
            "approver_ref",
            "approved_on",
            "narrative",
        ]
    ),
    "staffing": frozenset(
        [
            "fact",
            "person_email",
            "person_name",
            "employee_code",
            "entity_code",
            "project_code",
            "labor_category",
            "starts_on",
            "ends_on",
            "approver_email",
            "deputy_email",
            "manages_project",
        ]
    ),
    "people": frozenset(
        [
            "name",
            "email",
            "employee_code",
            "entity_code",
            "is_active",
            "employed_from",
            "employed_to",
            "cost_rate",
        ]
    ),
}
_REQUIRED: Mapping[str, frozenset[str]] = {
    "time_entries": frozenset({"person_ref", "work_date", "approval"}),
    "staffing": frozenset({"fact"}),
    "people": frozenset({"name"}),
}
DATES = frozenset(
    {"work_date", "approved_on", "starts_on", "ends_on", "employed_from", "employed_to"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A second file of the same directory; ``key`` maps its column to ours."""

    name: str
    pattern: str
    columns: tuple[str, ...]
    our_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMapping:
    """One kind of file, as its mapping declares it."""

    stream: str
    pattern: str
    encoding: str
    delimiter: str
    decimal_mark: str
    key: tuple[str, ...]
    repeats: str
    stable_seconds: int
    has_done_marker: bool
    joins: tuple[Join, ...]
    fields: Mapping[str, tuple[str, ...]]
    formats: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]]
    constants: Mapping[str, Any]
    extras: Mapping[str, str]

    def columns(self) -> frozenset[str]:
        """Return every column that the mapping names."""
        named = {column for columns in self.fields.values() for column in columns}
        return frozenset({*named, *self.extras.values(), *self.key})


def parse_mapping(*, stream: str, table: Mapping[str, Any]) -> FileMapping:
    """Read one ``[files.<stream>]`` table.

    :raises UserMistake: the sentence names every mistake.
    """
    mistakes = mapping_mistakes(stream=stream, table=table)
    if mistakes:
        raise UserMistake("; ".join(mistakes))
    return FileMapping(
        stream=stream,
        pattern=table["pattern"],
        encoding=table.get("encoding", "utf-8-sig"),
        delimiter=table.get("delimiter", ","),
        decimal_mark=table.get("decimal_mark", "."),
        key=tuple(table["key"]),
        repeats=table.get("repeats", "refuse"),
        stable_seconds=int(table.get("stable_seconds", 2)),
        has_done_marker=bool(table.get("done_marker", False)),
        joins=tuple(_join(name, join) for name, join in table.get("join", {}).items()),
        fields={name: _columns(place) for name, place in table["fields"].items()},
        formats=table.get("formats", {}),
        values={name: _value_table(words) for name, words in table.get("values", {}).items()},
        constants=table.get("constants", {}),
        extras=table.get("extras", {}),
    )


def mapping_mistakes(*, stream: str, table: Mapping[str, Any]) -> list[str]:
    """Return a sentence for everything in a mapping that cannot be meant."""
    if stream not in NOUN_OF_STREAM:
        return [f"files.{stream} is none of {', '.join(NOUN_OF_STREAM)}"]
    mistakes = [
        f"files.{stream}.{name} is not a word of a mapping"
        for name in table
        if name not in _COMMON_KEYS
    ]
    if not table.get("pattern"):
        mistakes.append(f"files.{stream} has no pattern of file names")
    if not table.get("key"):
        mistakes.append(f"files.{stream} has no key: name the columns that identify a row")
    if table.get("encoding", "utf-8") not in ENCODINGS:
        mistakes.append(f"files.{stream}.encoding is none of {', '.join(sorted(ENCODINGS))}")
    if table.get("repeats", "refuse") not in ("refuse", "ordinal"):
        mistakes.append(f"files.{stream}.repeats is neither refuse nor ordinal")
    if len(table.get("delimiter", ",")) != 1:
        mistakes.append(f"files.{stream}.delimiter is not one character")
    return mistakes + _field_mistakes(stream, table)


def _field_mistakes(stream: str, table: Mapping[str, Any]) -> list[str]:
    given = {*table.get("fields", {}), *table.get("constants", {})}
    known = FIELDS[stream]
    mistakes = [
        f"files.{stream}: {name} is not a canonical field"
        for name in sorted(given - known - {"quantum_seconds"})
    ]
    mistakes += [
        f"files.{stream}: {name} must come from a column or a constant"
        for name in sorted(_REQUIRED[stream] - given)
    ]
    if stream == "time_entries" and len({"hours", "minutes"} & given) != 1:
        mistakes.append(f"files.{stream} needs either hours or minutes")
    if stream == "time_entries" and "quantum_seconds" not in table.get("constants", {}):
        mistakes.append(f"files.{stream}.constants needs quantum_seconds, the smallest time told")
    mistakes += [
        f"files.{stream}.formats.{name} is not a date"
        for name in table.get("formats", {})
        if name not in DATES
    ]
    for name, words in table.get("values", {}).items():
        mistakes += _value_mistakes(stream, name, words)
    return mistakes


def _value_mistakes(stream: str, name: str, words: Mapping[str, Any]) -> list[str]:
    if name not in FIELDS[stream]:
        return [f"files.{stream}.values.{name} is not a canonical field"]
    if name == "approval":
        unknown = sorted(set(words) - set(Approval))
        if unknown:
            return [f"files.{stream}.values.approval: {', '.join(unknown)} is not an approval"]
    told = [word for spellings in words.values() for word in spellings]
    twice = sorted({word for word in told if told.count(word) > 1})
    return [f"files.{stream}.values.{name}: {word} stands twice" for word in twice]


def _value_table(words: Mapping[str, list[str]]) -> dict[str, str]:
    return {spelling: word for word, spellings in words.items() for spelling in spellings}


def _columns(place: str | list[str]) -> tuple[str, ...]:
    return (place,) if isinstance(place, str) else tuple(place)


def _join(name: str, table: Mapping[str, Any]) -> Join:
    return Join(
        name=name,
        pattern=table["pattern"],
        columns=tuple(table["key"].values()),
        our_columns=tuple(table["key"]),
    )
