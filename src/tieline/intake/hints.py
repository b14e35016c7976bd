"""Take hints in: what may have changed is marked, and read later; nothing a hint says is believed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection

from tieline.sdk import Hint


def take_hints(
    connection: Connection[dict[str, Any]],
    *,
    connection_key: str,
    hints: Sequence[Hint],
    now: datetime,
    correlation_id: str,
) -> int:
    """Store each event once and mark its record, in the caller's transaction; return the marks.

    A repeated or late event marks again: reading a record twice is harmless, missing one is not.
    """
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO inbox (connection_key, source_event_id) VALUES (%s, %s)"
            " ON CONFLICT DO NOTHING",
            [(connection_key, hint.event_id) for hint in hints],
        )
        records = sorted({(hint.object, hint.source_ref) for hint in hints})
        cursor.executemany(
            """
            INSERT INTO dirty_mark AS d (connection_key, object, source_ref, marked_at, correlation_id)
            VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (connection_key, object, source_ref)
            DO UPDATE SET marked_at = greatest(d.marked_at, excluded.marked_at)
            """,
            [
                (connection_key, object_name, source_ref, now, correlation_id)
                for object_name, source_ref in records
            ],
        )
    return len(records)
