"""Run the statements of a migration's .sql file in Alembic's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from alembic import op
from psycopg import Connection, sql


def run_statements(migration: str) -> None:
    """Run the .sql file beside a migration as one text, as the owner."""
    statements = Path(migration).with_suffix(".sql").read_text(encoding="utf-8")
    _connection().execute(statements.encode())


def ask_again_when_changed(calls: Mapping[str, str]) -> None:
    """Let each table call its trigger function, once for all rows that a statement adds or ends.

    ``calls`` maps tables to trigger functions, which find the rows in the relation ``changed``.
    """
    for table, function in calls.items():
        for event in ("INSERT", "UPDATE"):
            _connection().execute(
                sql.SQL(
                    "CREATE TRIGGER {} AFTER {} ON {} REFERENCING NEW TABLE AS changed"
                    " FOR EACH STATEMENT EXECUTE FUNCTION {}()"
                ).format(
                    sql.Identifier(f"{table}_asks_again_{event.lower()}"),
                    sql.SQL(event),
                    sql.Identifier(table),
                    sql.Identifier(function),
                )
            )


def _connection() -> Connection[Any]:
    return cast(Connection[Any], op.get_bind().connection.driver_connection)
