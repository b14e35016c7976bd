"""Statements whose plan a session keeps: planning one of some hundred steps takes many times as long as a few hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, LiteralString

from psycopg import ClientCursor, sql

from tieline.runtime.database import Row

PLANNED_AS_BEFORE = "SET LOCAL plan_cache_mode = auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A statement with a name of its own; the text, with numbers for what it is given, goes to the server once."""

    name: str
    text: str
    given: Sequence[tuple[str, str]]


def keep(text: str, *, given: Mapping[str, str]) -> Kept:
    """Return a statement as it is kept; ``given`` are the names and types of its values."""
    return _kept(text, tuple(given.items()))


@lru_cache(maxsize=32)
def _kept(text: str, given: tuple[tuple[str, str], ...]) -> Kept:
    for number, (name, _) in enumerate(given, start=1):
        text = text.replace(f"%({name})s", f"${number}")
    text = text.replace("%%", "%")
    name = f"judged_{sha256(text.encode()).hexdigest()[:32]}"
    return Kept(name=name, text=text, given=given)


def ask_kept(
    cursor: ClientCursor[Row], kept: Kept, values: Row, *, around: LiteralString = "{}"
) -> None:
    """Ask a statement by the plan that the session keeps, which is made for any values."""
    # The driver lets go of all plans of a session now and then.
    found = cursor.execute(
        "SELECT set_config('plan_cache_mode', 'force_generic_plan', true),"
        " EXISTS (SELECT FROM pg_prepared_statements WHERE name = %s) AS is_planned",
        (kept.name,),
    ).fetchone()
    assert found is not None
    if not found["is_planned"]:
        types = sql.SQL(", ").join(sql.SQL(_as_is(kind)) for _, kind in kept.given)
        cursor.execute(
            sql.SQL("PREPARE {} ({}) AS {}").format(
                sql.Identifier(kept.name), types, sql.SQL(_as_is(kept.text))
            )
        )
    told = sql.SQL(", ").join(sql.Literal(values[name]) for name, _ in kept.given)
    asked = sql.SQL("EXECUTE {} ({})").format(sql.Identifier(kept.name), told)
    cursor.execute(sql.SQL(around).format(asked))


def _as_is(text: str) -> Any:
    return text
