"""The rules about won deals: data files, and one statement that asks them of many deals at once.

A deal has one row of its own and one for each line and each assigned person; a rule says whose rows it is
asked of. The answer is which rows violate it, or that nobody can tell.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from psycopg import Connection, sql

from tieline.runtime.database import Row
from tieline.validation.books import UNKNOWN, read_book
from tieline.validation.predicates import check_predicate, read_columns

SCOPES = ("deal", "line", "person")
FILES = (
    "deal",
    "client",
    "organization",
    "contract",
    "money",
    "names",
    "resources",
    "time_tools",
    "governance",
    "execution",
)
"""The files of the provisioning book, in the order of its rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DealRule:
    """A rule about a deal, its lines or its people, with an example of each answer.

    ``thing`` is the column that names what is at fault; a row of a line or person names itself.
    ``fails`` is None where the data of no firm decides the rule yet.
    """

    code: str
    scope: str
    known_when: str
    applies_when: str
    predicate: str
    severity: str
    owner_queue: str
    thing: str
    message: str
    fix_hint: str
    source: str
    opens_case: bool
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
        row = common_row(self.scope, changed)
        names = {
            *read_columns(self.known_when),
            *read_columns(self.applies_when),
            *read_columns(self.predicate),
            *changed,
        }
        return {name: row.get(name) for name in sorted(names)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one rule says of one deal: the rows at fault, or that nobody can tell."""

    things: tuple[str, ...]
    is_unknown: bool


@cache
def deal_rules() -> tuple[DealRule, ...]:
    """Return the rules of the provisioning book in their order.

    :raises UserMistake: a predicate uses something that is not allowed.
    """
    return tuple(
        _rule(table) for name in FILES for table in read_book(f"provisioning/{name}")["rule"]
    )


@cache
def deal_columns(scope: str) -> Mapping[str, tuple[str, str]]:
    """Return type and meaning of every column that rules of a scope may look at."""
    columns = read_book("provisioning")["columns"][scope]
    return {name: (told[0], told[1]) for name, told in columns.items()}


def common_row(scope: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row in which every rule of a scope holds, with what differs."""
    common = read_book("provisioning")["common"][scope]
    row = {**dict.fromkeys(deal_columns(scope)), **common, **changed}
    return {name: None if value == UNKNOWN else value for name, value in row.items()}


def ask_rules(
    connection: Connection[Row],
    *,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    asked: Collection[str] | None = None,
) -> dict[int, dict[str, Answer]]:
    """Ask every rule of the rows of many deals; one statement for each scope.

    A row carries ``deal_no``, whose it is, ``thing``, how people call it, and its scope's columns. What holds
    is not told. ``asked`` names the only rules to ask.

    :raises KeyError: a row has not exactly the columns of its scope.
    """
    found: dict[int, dict[str, Answer]] = {}
    for scope in SCOPES:
        given = rows.get(scope, ())
        rules = [
            rule
            for rule in deal_rules()
            if rule.scope == scope and (asked is None or rule.code in asked)
        ]
        if not given or not rules:
            continue
        _check_columns(scope, given)
        answers = connection.execute(_statement(scope, rules), {"rows": _as_json(given)}).fetchall()
        for answer in answers:
            deal = found.setdefault(answer["deal_no"], {})
            for code in answer["unknown"]:
                deal.setdefault(code, Answer(things=(), is_unknown=True))
            for code, thing in zip(answer["violated"], answer["things"], strict=True):
                before = deal.get(code)
                things = () if before is None else before.things
                deal[code] = Answer(things=(*things, *thing.split(", ")), is_unknown=False)
    return found


def _statement(scope: str, rules: Sequence[DealRule]) -> sql.Composed:
    columns = ", ".join(f"{name} {told[0]}" for name, told in deal_columns(scope).items())
    checks = [_check(rule) for rule in rules]
    return sql.SQL(
        "WITH asked AS (SELECT s.deal_no, s.row_no, u.unknown, v.code, v.thing FROM jsonb_to_recordset(%(rows)s::jsonb)"
        " AS s (deal_no integer, row_no integer, called text, {}) CROSS JOIN LATERAL (SELECT array_remove("
        "ARRAY[{}]::text[], NULL) AS unknown) u LEFT JOIN LATERAL (SELECT c.code, c.thing FROM (VALUES {})"
        " AS c (code, is_violated, thing) WHERE c.is_violated) v ON true)"
        " SELECT deal_no, row_no, max(unknown) AS unknown,"
        " coalesce(array_agg(code) FILTER (WHERE code IS NOT NULL), '{{}}') AS violated,"
        " coalesce(array_agg(thing) FILTER (WHERE code IS NOT NULL), '{{}}') AS things"
        " FROM asked GROUP BY deal_no, row_no ORDER BY deal_no, row_no"
    ).format(
        sql.SQL(columns),
        sql.SQL(", ").join(unknown for unknown, _ in checks),
        sql.SQL(", ").join(violated for _, violated in checks),
    )


def _check(rule: DealRule) -> tuple[sql.Composed, sql.Composed]:
    known, applies, predicate = (
        text.replace("%", "%%") for text in (rule.known_when, rule.applies_when, rule.predicate)
    )
    code = sql.Literal(rule.code)
    unknown = sql.SQL(f"CASE WHEN ({known}) IS NOT TRUE THEN {{}} END").format(code)
    thing = f"coalesce({rule.thing}, '')" if rule.thing else "called"
    violated = sql.SQL(
        f"({{}}, (({known}) AND ({applies}) AND ({predicate}) IS NOT TRUE) IS TRUE, {thing})"
    ).format(code)
    return unknown, violated


def _check_columns(scope: str, given: Sequence[Mapping[str, Any]]) -> None:
    wanted = {"deal_no", "thing", *deal_columns(scope)}
    for row in given:
        if set(row) != wanted:
            raise KeyError(f"a row of a {scope} differs in {sorted(set(row) ^ wanted)}")


def _as_json(given: Sequence[Mapping[str, Any]]) -> str:
    numbered = [
        {**row, "row_no": number, "called": row["thing"]} for number, row in enumerate(given)
    ]
    return json.dumps(numbered, default=str)


def _rule(table: Mapping[str, Any]) -> DealRule:
    scope = table.get("scope", "deal")
    columns = frozenset(deal_columns(scope))
    thing = table.get("thing", "")
    if thing:
        check_predicate(f"{thing} = ''", columns=columns)
    return DealRule(
        code=table["code"],
        scope=scope,
        known_when=check_predicate(table.get("known_when", "true"), columns=columns),
        applies_when=check_predicate(table.get("applies_when", "true"), columns=columns),
        predicate=check_predicate(table["predicate"], columns=columns),
        severity=table.get("severity", "error"),
        owner_queue=table["owner"],
        thing=thing,
        message=table["message"],
        fix_hint=table["fix"],
        source=table["source"],
        opens_case=table.get("opens_case", True),
        fails=table.get("fails"),
    )
