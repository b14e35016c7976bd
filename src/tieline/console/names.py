"""What people call the things that cases and deals name by a reference of another system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from psycopg import Connection

Thing = tuple[str, str]
DEAL, HOUR = "deal", "hour"


def read_names(
    connection: Connection[dict[str, Any]], *, things: Iterable[Thing]
) -> Mapping[Thing, str]:
    """Return the names of things by their kind and key, as far as the caller sees who speaks of them."""
    asked = sorted(set(things))
    rows = connection.execute(
        "SELECT kind, key, name FROM page_names(%s, %s)",
        ([kind for kind, _ in asked], [key for _, key in asked]),
    ).fetchall()
    return {(row["kind"], row["key"]): row["name"] for row in rows}
