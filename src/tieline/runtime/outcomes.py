"""Count what happened, per connection and operation."""

from __future__ import annotations

from psycopg import Connection

from tieline.runtime.database import Row


def count_outcome(
    connection: Connection[Row], *, connection_key: str, operation: str, outcome: str, by: int = 1
) -> None:
    """Add to the counter of an outcome, in the caller's transaction."""
    connection.execute(
        """
        INSERT INTO outcome_count (connection_key, operation, outcome, count)
        VALUES (%s, %s, %s, %s)
        ON CONFLICT (connection_key, operation, outcome)
        DO UPDATE SET count = outcome_count.count + excluded.count
        """,
        (connection_key, operation, outcome, by),
    )
