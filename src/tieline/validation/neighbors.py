"""Which hours a change concerns: marked with the change, judged again with its batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.runtime.sql import load

_MARK = load("tieline.validation", "mark_rejudge")


def mark_rejudge(
    connection: Connection[Row], *, batch_id: int, correlation_id: str, now: datetime
) -> int:
    """Write the old and new neighbor keys of a batch's versions; return how many."""
    return connection.execute(
        _MARK, {"batch_id": batch_id, "correlation_id": correlation_id, "now": now}
    ).rowcount


def mark_reference_change(
    connection: Connection[Row],
    *,
    keys: Sequence[str],
    because: str,
    correlation_id: str,
    now: datetime,
) -> None:
    """Ask for a new look at everything that has one of these keys."""
    connection.execute(
        """
        INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
        SELECT k, %s, %s, %s FROM unnest(%s::text[]) k
        """,
        (because, correlation_id, now, list(keys)),
    )
