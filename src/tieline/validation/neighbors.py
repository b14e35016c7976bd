"""Which hours a change concerns: marked with the change, judged again with its batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.runtime.sql import load
from tieline.validation.judging import ALONE_KINDS, REFERENCE_KINDS, lock_every_bucket

_MARK = load("tieline.validation", "mark_rejudge")
_SPREAD = load("tieline.validation", "spread_marks")
_WIDE_KINDS = ("release", "period")


def mark_rejudge(
    connection: Connection[Row], *, batch_id: int, correlation_id: str, now: datetime
) -> int:
    """Write the old and new neighbor keys of a batch's versions; return how many."""
    values = {
        "batch_id": batch_id,
        "correlation_id": correlation_id,
        "now": now,
        "apart": list(ALONE_KINDS),
    }
    return connection.execute(_MARK, values).rowcount


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


def next_marked(connection: Connection[Row], *, now: datetime, limit: int) -> list[str]:
    """Return keys that wait for a new look, of one sort at a time.

    A new release and a moved period are spread over the hours they concern first, while no judge
    is at work: what one of them decides at this moment is among those hours, too.
    """
    if _keys(connection, _WIDE_KINDS, now=now, limit=1):
        lock_every_bucket(connection.cursor())
        connection.execute(_SPREAD)
    # Apart from the others: whoever serves a reference keeps every other judge waiting.
    return _keys(connection, REFERENCE_KINDS, now=now, limit=limit) or _keys(
        connection, _WIDE_KINDS, is_other=True, now=now, limit=limit
    )


def _keys(
    connection: Connection[Row],
    kinds: Sequence[str],
    *,
    now: datetime,
    limit: int,
    is_other: bool = False,
) -> list[str]:
    """Return keys of these kinds, or of every other."""
    rows = connection.execute(
        "SELECT DISTINCT neighbor_key FROM rejudge"
        " WHERE (split_part(neighbor_key, ':', 1) = ANY (%s)) <> %s AND recorded_at <= %s"
        " ORDER BY 1 LIMIT %s",
        (list(kinds), is_other, now, limit),
    ).fetchall()
    return [row["neighbor_key"] for row in rows]
