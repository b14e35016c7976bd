"""Leave out of the statement what nobody told anything of: a step over an empty table has no row.

What such a step says is NULL for every hour, so its join goes and its columns are written as NULL of their type.
The answer is the same, and a firm pays for what it uses.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from psycopg import Connection, sql

from tieline.runtime.database import Row

# Facts that are no tables; each is found by an index of its own.
_ASKED = {
    "marked_up_line": "SELECT FROM contract_line WHERE markup_percent IS NOT NULL",
    "planned_assignment": "SELECT FROM assignment WHERE planned_seconds IS NOT NULL",
}
# What hours have, or have not: whoever asks of hours that are not stored can tell; what is stored may have any of it.
OF_HOURS = frozenset(
    {
        "timed_hour",
        "zone_of_hour",
        "category_of_hour",
        "negative_hour",
        "stored_hour",
        "earlier_version",
    }
)
_STEP = re.compile(r"(\w+) AS ((?:NOT )?(?:MATERIALIZED )?)\(")
_SKIPPED = re.compile(r"--[^\n]*|'(?:[^']|'')*'")
_CLAUSE_ENDS = re.compile(
    r"\b(?:LEFT JOIN|CROSS JOIN|JOIN|WHERE|GROUP BY|ORDER BY|HAVING|UNION|WINDOW)\b|[()]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    name: str
    kind: str
    body: str


def untold(connection: Connection[Row], *, has_copies: bool = False) -> frozenset[str]:
    """Return which of the tables and facts that steps depend on have nothing in them.

    ``has_copies``: this session may have laid copies over tables; a kept plan would ask the tables below them.
    """
    row = connection.execute(_question(), prepare=not has_copies).fetchone()
    assert row is not None
    return frozenset(name for name, is_told in row.items() if not is_told)


def leave_out(steps: str, *, empty: frozenset[str]) -> str:
    """Return the steps without those that have no row, and without their joins."""
    gone = {name for name, lists in needs().items() if any(need <= empty for need in lists)}
    kept = []
    for step in _parse(steps):
        if step.name in gone:
            continue
        body = step.body
        for name in gone:
            body = _without_joins(body, name)
        kept.append(f"{step.name} AS {step.kind}({body})")
        gone.discard(step.name)
    text = ",\n".join(kept)
    # What something else than a left join reads stays, without rows.
    stubs = [_stub(name) for name in sorted(gone) if re.search(rf"\b(?:FROM|JOIN) {name}\b", text)]
    return ",\n".join([*stubs, text])


def _without_joins(body: str, name: str) -> str:
    if f"LEFT JOIN {name} " not in body:
        return body
    while (found := re.search(rf"\s*LEFT JOIN {name} (\w+) (?=ON|USING)", body)) is not None:
        end = _end_of_clause(body, found.end())
        body = _as_null(
            f"{body[: found.start()]}\n    {body[end:]}", name=name, alias=found.group(1)
        )
    return body


def _as_null(body: str, *, name: str, alias: str) -> str:
    """Write the columns of an alias as NULL; one that stood in the list by itself keeps its name."""
    columns = shapes()[name]
    parts, position, depth = [], 0, 0
    for found in re.finditer(rf"(?<![\w.]){alias}\.(\w+)", body):
        between = _SKIPPED.sub("", body[position : found.start()])
        depth += between.count("(") - between.count(")")
        column = found.group(1)
        is_alone = not depth and re.match(r"\s*(?:,|FROM\b)", body[found.end() :])
        named = f" AS {column}" if is_alone and between.rstrip().endswith((",", "SELECT")) else ""
        parts.append(f"{body[position : found.start()]}NULL::{columns[column]}{named}")
        position = found.end()
    return "".join([*parts, body[position:]])


def _stub(name: str) -> str:
    nulls = ", ".join(f"NULL::{kind} AS {column}" for column, kind in shapes()[name].items())
    return f"{name} AS (SELECT {nulls} WHERE false)"


def _parse(text: str) -> Iterator[_Step]:
    position = 0
    while (found := _STEP.search(text, position)) is not None:
        end = _closing(text, found.end())
        yield _Step(name=found.group(1), kind=found.group(2), body=text[found.end() : end])
        position = end + 1


def _closing(text: str, start: int) -> int:
    return _scan(text, start, ends=re.compile(r"[()]"))


def _end_of_clause(text: str, start: int) -> int:
    return _scan(text, start, ends=_CLAUSE_ENDS)


def _scan(text: str, start: int, *, ends: re.Pattern[str]) -> int:
    """Return where one of the words comes that is not inside of parentheses, strings or comments."""
    depth, position = 0, start
    either = re.compile(f"{_SKIPPED.pattern}|{ends.pattern}")
    while (found := either.search(text, position)) is not None:
        word = found.group()
        if word == "(":
            depth += 1
        elif word == ")" and depth:
            depth -= 1
        elif not depth and _SKIPPED.fullmatch(word) is None:
            return found.start()
        position = found.end()
    return len(text)


@cache
def needs() -> Mapping[str, Sequence[frozenset[str]]]:
    """Return what each step has no row without."""
    return {
        name: [frozenset(need.split("|")) for need in lists]
        for name, lists in _table("needs").items()
    }


@cache
def shapes() -> Mapping[str, Mapping[str, str]]:
    """Return the columns of every step and table that may be left out, with their types."""
    return _table("shapes")


def _table(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def asked_tables() -> Sequence[str]:
    """Return the tables and facts that are asked whether they have anything in them."""
    named = {name for lists in needs().values() for need in lists for name in need}
    return sorted(named - OF_HOURS)


def named_steps(steps: str) -> frozenset[str]:
    """Return the names of the steps of a text."""
    return frozenset(step.name for step in _parse(steps))


@cache
def _question() -> sql.SQL:
    # Put together once: a text of so many parts takes longer to write than to answer.
    question = sql.SQL("SELECT {}").format(
        sql.SQL(", ").join(
            sql.SQL("EXISTS ({}) AS {}").format(
                sql.SQL(_ASKED[name])
                if name in _ASKED
                else sql.SQL("SELECT FROM {}").format(sql.Identifier(name)),
                sql.Identifier(name),
            )
            for name in asked_tables()
        )
    )
    text: Any = question.as_string(None)
    return sql.SQL(text)
