"""Run the statements of a migration's .sql file in Alembic's transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from alembic import op
from psycopg import Connection


def run_statements(migration: str) -> None:
    """Run the .sql file beside a migration as one text, as the owner."""
    statements = Path(migration).with_suffix(".sql").read_text(encoding="utf-8")
    connection = cast(Connection[Any], op.get_bind().connection.driver_connection)
    connection.execute(statements.encode())
