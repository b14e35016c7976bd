"""What a file changes in its table on two time axes: decided over the whole, written in sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from tieline.register.reference_cells import Meant, Mistake, value_in_words
from tieline.register.reference_nouns import Noun
from tieline.runtime.database import Row

_Key = tuple[Any, ...]
_Timeline = dict[date, Mapping[str, Any]]
_NOTHING = sql.SQL("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row that comes, changes or goes; ``line`` is 0 where the file does not name it."""

    kind: str
    line: int
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a file would change; ``same`` rows stand already."""

    noun: Noun
    changes: tuple[Change, ...]
    same: int
    mistakes: tuple[Mistake, ...]

    def digest(self) -> str:
        """Return what two plans have in common that change the same."""
        names = (*self.noun.key, "starts_on", *self.noun.values())
        words = (
            f"{change.kind}|{change.line}|{_words(change.before, names)}|{_words(change.after, names)}"
            for change in self.changes
        )
        return hashlib.sha256("\n".join(words).encode()).hexdigest()


def plan_rows(
    connection: Connection[Row],
    *,
    noun: Noun,
    rows: Sequence[Meant],
    is_whole: bool,
    only: sql.Composable = _NOTHING,
) -> Plan:
    """Return what the rows change; where they are the ``whole``, what they do not name goes.

    A row without an end holds until the next one of its key begins, whether the file or the table
    has that one. Of what stands only rows that meet ``only`` are looked at, a condition on a row ``s``.
    """
    told, mistakes = _one_per_start(noun, rows)
    standing = standing_rows(connection, noun, only=only)
    changes: list[Change] = []
    same = 0
    for key in sorted(told.keys() | (standing.keys() if is_whole else set()), key=_order):
        before = standing.get(key, {})
        after, faults = _timeline(before, told.get(key, {}), noun, is_whole=is_whole)
        mistakes += faults
        for starts_on in sorted(before.keys() | after.keys()):
            change = _change(before.get(starts_on), after.get(starts_on), noun)
            if change is None:
                same += 1
            else:
                changes.append(change)
    return Plan(noun=noun, changes=tuple(changes), same=same, mistakes=tuple(mistakes))


def write_plan(connection: Connection[Row], *, plan: Plan, load_id: UUID, now: datetime) -> int:
    """Close what goes or changes and add what comes or changed; return how many rows."""
    noun = plan.noun
    gone = [str(change.before[noun.own_id]) for change in plan.changes if change.before is not None]
    connection.execute(
        sql.SQL(
            "UPDATE {} SET superseded_at = greatest(%s, recorded_at)"
            " WHERE {} = ANY (%s::uuid[]) AND superseded_at IS NULL"
        ).format(sql.Identifier(noun.table), sql.Identifier(noun.own_id)),
        (now, gone),
    )
    names = (*noun.key, "starts_on", *noun.values())
    rows = [
        {name: stored(change.after[name]) for name in names}
        | {"recorded_at": now.isoformat(), **_origin(change.after, load_id)}
        for change in plan.changes
        if change.after is not None
    ]
    columns = sql.SQL(", ").join(
        sql.Identifier(name) for name in (*names, "recorded_at", "load_id", "line_number")
    )
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM jsonb_populate_recordset(NULL::{}, %s)").format(
            sql.Identifier(noun.table), columns, columns, sql.Identifier(noun.table)
        ),
        (Jsonb(rows),),
    )
    return len(plan.changes)


def standing_rows(
    connection: Connection[Row], noun: Noun, *, only: sql.Composable = _NOTHING
) -> dict[_Key, _Timeline]:
    """Return what holds of each key now, by its first day; only what meets a condition on a row ``s``."""
    found: dict[_Key, _Timeline] = {}
    for row in connection.execute(
        sql.SQL("SELECT * FROM {} s WHERE superseded_at IS NULL {} {}").format(
            sql.Identifier(noun.table), only_of(noun), only
        )
    ).fetchall():
        found.setdefault(_key(noun, row), {})[row["starts_on"]] = row
    return found


def only_of(noun: Noun) -> sql.Composed:
    """Return the condition on what every row of a noun says in a table that holds others, too."""
    return sql.SQL(" ").join(
        sql.SQL("AND {} = {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in noun.only.items()
    )


def stored(value: Any) -> Any:
    """Return a value as JSON holds it for its table."""
    is_plain = value is None or isinstance(value, bool | int | list)
    return value if is_plain else value_in_words(value)


def _one_per_start(
    noun: Noun, rows: Sequence[Meant]
) -> tuple[dict[_Key, dict[date, Mapping[str, Any]]], list[Mistake]]:
    told: dict[_Key, _Timeline] = {}
    mistakes = []
    for row in rows:
        timeline = told.setdefault(_key(noun, row.values), {})
        first = timeline.get(row.values["starts_on"])
        if first is not None:
            sentence = f"line {first['line']} says the same from the same day on"
            mistakes.append(Mistake(line=row.line, column="", sentence=sentence))
            continue
        timeline[row.values["starts_on"]] = {**row.values, "line": row.line}
    return told, mistakes


def _timeline(
    before: _Timeline, told: _Timeline, noun: Noun, *, is_whole: bool
) -> tuple[_Timeline, list[Mistake]]:
    """Return the rows of one key as they will stand, each ending at the latest where the next begins."""
    rows = {**({} if is_whole else before), **told}
    after: _Timeline = {}
    mistakes = []
    starts: list[date | None] = [*sorted(rows), None]
    for starts_on, next_on in pairwise(starts):
        assert starts_on is not None
        row = rows[starts_on]
        ends_on = row["ends_on"]
        if next_on is not None and (ends_on is None or ends_on > next_on):
            if ends_on is not None and starts_on in told and next_on in told:
                sentence = f"it still holds when line {told[next_on]['line']} begins on {next_on}"
                mistakes.append(Mistake(line=row["line"], column="ends_on", sentence=sentence))
            ends_on = next_on
        after[starts_on] = {**row, "ends_on": ends_on}
    return after, mistakes


def _change(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, noun: Noun
) -> Change | None:
    line = 0 if after is None else int(after.get("line", 0))
    if before is not None and after is not None:
        if all(before[name] == after[name] for name in noun.values()):
            return None
        return Change(kind="changed", line=line, before=before, after=after)
    return Change(
        kind="added" if before is None else "ended", line=line, before=before, after=after
    )


def _origin(row: Mapping[str, Any], load_id: UUID) -> dict[str, Any]:
    """Return which file and line a row is from: one that is only cut short keeps its own."""
    if "line" in row:
        return {"load_id": str(load_id), "line_number": row["line"]}
    return {"load_id": str(row["load_id"]), "line_number": row["line_number"]}


def _key(noun: Noun, row: Mapping[str, Any]) -> _Key:
    return tuple(row[name] for name in noun.key)


def _order(key: _Key) -> tuple[str, ...]:
    return tuple(map(str, key))


def _words(row: Mapping[str, Any] | None, names: Iterable[str]) -> str:
    return "" if row is None else "|".join(value_in_words(row[name]) for name in names)
