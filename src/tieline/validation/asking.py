"""Ask the rules of a book of many rows at once: one statement for each kind of row.

What a rule may look at is documented in its book, and so is the row in which every rule holds. A rule that has
nothing to go by says so: that is neither yes nor no.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from psycopg import Connection, sql

from tieline.runtime.database import Row
from tieline.validation.books import UNKNOWN, read_book
from tieline.validation.predicates import check_predicate, read_columns

_ROWS_MAX = 2000
"""How many rows go along with one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRule:
    """One rule of a book with an example of each answer.

    ``thing`` is the column that names what is at fault; without one a row names itself. ``fails`` is None where
    the data of no firm decides the rule yet.
    """

    book: str
    scope: str
    code: str
    known_when: str
    applies_when: str
    predicate: str
    severity: str
    owner_queue: str
    thing: str
    message: str
    fix_hint: str
    source: str
    fails: Mapping[str, Any] | None

    @property
    def is_decidable(self) -> bool:
        return self.fails is not None

    def pass_example(self) -> dict[str, Any]:
        """Return the columns that the rule reads, as they are where it holds."""
        return self._example({})

    def fail_example(self) -> dict[str, Any]:
        """Return the columns that the rule reads, as they are where it fails."""
        return self._example(self.fails or {})

    def _example(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        row = common_row(self.book, self.scope, changed)
        names = {
            *read_columns(self.known_when),
            *read_columns(self.applies_when),
            *read_columns(self.predicate),
            *changed,
        }
        return {name: row.get(name) for name in sorted(names)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one rule says of one subject: the rows at fault, or that nobody can tell."""

    things: tuple[str, ...]
    is_unknown: bool


UNKNOWN_ANSWER = Answer(things=(), is_unknown=True)


@cache
def book_columns(book: str, scope: str) -> Mapping[str, tuple[str, str]]:
    """Return type and meaning of every column that rules of a scope may look at."""
    columns = read_book(book)["columns"][scope]
    return {name: (told[0], told[1]) for name, told in columns.items()}


def common_row(book: str, scope: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row in which every rule of a scope holds, with what differs."""
    common = read_book(book)["common"][scope]
    row = {**dict.fromkeys(book_columns(book, scope)), **common, **changed}
    return {name: None if value == UNKNOWN else value for name, value in row.items()}


def read_rule(table: Mapping[str, Any], *, book: str, scope: str) -> dict[str, Any]:
    """Return what every rule of a book says, read from its file.

    :raises UserMistake: a predicate uses something that is not allowed.
    """
    columns = frozenset(book_columns(book, scope))
    thing = table.get("thing", "")
    if thing:
        check_predicate(f"{thing} = ''", columns=columns)
    return {
        "book": book,
        "scope": scope,
        "code": table["code"],
        "known_when": check_predicate(table.get("known_when", "true"), columns=columns),
        "applies_when": check_predicate(table.get("applies_when", "true"), columns=columns),
        "predicate": check_predicate(table["predicate"], columns=columns),
        "severity": table.get("severity", "error"),
        "owner_queue": table["owner"],
        "thing": thing,
        "message": table["message"],
        "fix_hint": table["fix"],
        "source": table["source"],
        "fails": table.get("fails"),
    }


def ask(
    connection: Connection[Row],
    *,
    rules: Sequence[BookRule],
    rows: Iterable[Mapping[str, Any]],
) -> Mapping[int, Mapping[str, Answer]]:
    """Ask rules of one book and scope of many rows.

    A row carries ``subject_no``, whose it is, ``thing``, how people call it, and its scope's columns. What holds
    is not told.

    :raises KeyError: a row has not exactly the columns of its scope.
    """
    found: dict[int, dict[str, Answer]] = {}
    if not rules:
        return found
    columns = book_columns(rules[0].book, rules[0].scope)
    statement = _statement(columns, rules)
    given = iter(rows)
    while part := list(islice(given, _ROWS_MAX)):
        _check_columns(columns, part)
        answers = connection.execute(statement, {"rows": json.dumps(part, default=str)}).fetchall()
        for row, answer in zip(part, answers, strict=True):
            _add(found.setdefault(row["subject_no"], {}), answer["answers"])
    return found


def _add(subject: dict[str, Answer], answers: Sequence[str]) -> None:
    for answer in answers:
        code, is_violated, thing = answer.partition(" ")
        if not is_violated:
            subject.setdefault(code, UNKNOWN_ANSWER)
            continue
        before = subject.get(code)
        things = () if before is None else before.things
        subject[code] = Answer(things=(*things, *thing.split(", ")), is_unknown=False)


def _check_columns(
    columns: Mapping[str, tuple[str, str]], rows: Sequence[Mapping[str, Any]]
) -> None:
    wanted = {"subject_no", "thing", *columns}
    for row in rows:
        if set(row) != wanted:
            raise KeyError(f"a row differs from its book in {sorted(set(row) ^ wanted)}")


def _statement(columns: Mapping[str, tuple[str, str]], rules: Sequence[BookRule]) -> sql.Composed:
    return sql.SQL(
        "SELECT array_remove(ARRAY[{}]::text[], NULL) AS answers"
        " FROM ROWS FROM (jsonb_to_recordset(%(rows)s::jsonb) AS (thing text, {})) WITH ORDINALITY"
        " AS s (called, {}, row_no) ORDER BY row_no"
    ).format(
        sql.SQL(", ").join(_check(rule) for rule in rules),
        sql.SQL(", ".join(f"{name} {told[0]}" for name, told in columns.items())),
        sql.SQL(", ".join(columns)),
    )


def _check(rule: BookRule) -> sql.Composed:
    # A code alone: nobody can tell. With a blank, and what is at fault: it is violated. Of whom a rule does not
    # speak at all, nothing needs to be known.
    known, applies, predicate = (
        text.replace("%", "%%") for text in (rule.known_when, rule.applies_when, rule.predicate)
    )
    thing = f"coalesce({rule.thing}, '')" if rule.thing else "called"
    return sql.SQL(
        f"CASE WHEN ({applies}) IS FALSE THEN NULL"
        f" WHEN ({known}) IS NOT TRUE THEN {{}}"
        f" WHEN ({applies}) AND ({predicate}) IS NOT TRUE THEN {{}} || {thing} END"
    ).format(sql.Literal(rule.code), sql.Literal(f"{rule.code} "))
