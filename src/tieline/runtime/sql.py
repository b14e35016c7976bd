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
