"""Read what the firm decided under a name."""

from __future__ import annotations

from psycopg import Connection

from tieline.runtime.database import Row


def find_value(connection: Connection[Row], *, name: str, entity_code: str) -> str | None:
    """Return a value of the current release: that of the legal entity, else that of all."""
    row = connection.execute(
        "SELECT policy_word(release_id, %s, %s, NULL) AS value FROM release WHERE state = 'current'",
        (name, entity_code),
    ).fetchone()
    return row["value"] if row else None
