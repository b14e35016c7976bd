"""Named SQL files, each kept in the room that owns its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from psycopg import Connection

# With statistics that are older than a table, or none, a planner takes thousands of rows for one and holds each of
# them against all others. What is looked up by key in a step that asks for it (LATERAL) is still looked up.
_HASHED = "SET LOCAL enable_nestloop = off"
_AS_BEFORE = "SET LOCAL enable_nestloop = on"
# In the order that is written: of some fifty steps, to look for a better one takes longer than it saves.
_AS_WRITTEN = "SET LOCAL join_collapse_limit = 1"
_IN_ANY_ORDER = "SET LOCAL join_collapse_limit = DEFAULT"


def load(package: str, name: str) -> Any:
    """Return the text of ``name``.sql of a package: our own text, so psycopg may take it as is."""
    return files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")


@contextmanager
def hashed(connection: Connection[Any], *, is_so: bool) -> Iterator[None]:
    """Let the statements of a block hash what they join, where ``is_so`` says that it is much."""
    if is_so:
        connection.execute(_HASHED)
    yield
    if is_so:
        connection.execute(_AS_BEFORE)


@contextmanager
def hashed_as_written(connection: Connection[Any]) -> Iterator[None]:
    """Let the statements of a block hash what they join, in the order in which they name it."""
    with hashed(connection, is_so=True):
        connection.execute(_AS_WRITTEN)
        yield
        connection.execute(_IN_ANY_ORDER)
