"""What a plan of the server holds row by row against something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import ClientCursor, Connection, sql
from psycopg.rows import dict_row

_THROUGH = ("Materialize", "Memoize", "Hash Join", "Merge Join", "Nested Loop")


def plan_of(
    connection: Connection[dict[str, Any]], statement: sql.Composable, values: dict[str, Any]
) -> dict[str, Any]:
    """Return how the server would go about a statement."""
    with ClientCursor(connection, row_factory=dict_row) as cursor:
        row = cursor.execute(
            sql.SQL("EXPLAIN (FORMAT JSON) {}").format(statement), values
        ).fetchone()
    assert row is not None
    plan: dict[str, Any] = row["QUERY PLAN"][0]["Plan"]
    return plan


def held_against(
    node: dict[str, Any], *, step: str = "", but: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield each step and what of it is read once for every row of something else, ``but`` in one."""
    step = node.get("Subplan Name", step)
    if node["Node Type"] == "Nested Loop" and step != but:
        inner = node["Plans"][1]
        while inner["Node Type"] in _THROUGH:
            inner = inner["Plans"][0]
        if inner["Node Type"] == "CTE Scan":
            yield step, inner["CTE Name"]
    for part in node.get("Plans", ()):
        yield from held_against(part, step=step, but=but)
