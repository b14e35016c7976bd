"""How posting to a target goes: what it costs in calls, and how much of it fits into a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

Row = dict[str, Any]
_KEEP_HOURS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the last hour showed: items and the calls they took, and the best minute under load.

    ``best_minute`` is 0 where no batch was full: what is not loaded shows nothing of its pace.
    """

    items: int
    calls: int
    best_minute: int


def note_pace(
    connection: Connection[Row], *, target_connection: str, items: int, calls: int, is_full: bool
) -> None:
    """Add what one round moved and cost."""
    connection.execute(
        """
        INSERT INTO posting_pace AS p (target_connection, minute, items, calls, full_rounds)
        VALUES (%s, date_trunc('minute', clock_timestamp()), %s, %s, %s)
        ON CONFLICT (target_connection, minute) DO UPDATE SET items = p.items + excluded.items,
            calls = p.calls + excluded.calls, full_rounds = p.full_rounds + excluded.full_rounds
        """,
        (target_connection, items, calls, int(is_full)),
    )


def purge_paces(connection: Connection[Row]) -> int:
    """Remove what no forecast reads any more; return how many minutes went."""
    return connection.execute(
        "DELETE FROM posting_pace WHERE minute < clock_timestamp() - make_interval(hours => %s)",
        (2 * _KEEP_HOURS,),
    ).rowcount


def read_paces(connection: Connection[Row]) -> dict[str, Pace]:
    """Return the pace of the last whole minutes of an hour, by target."""
    rows = connection.execute(
        """
        SELECT target_connection, sum(items)::integer AS items, sum(calls)::integer AS calls,
               coalesce(max(items) FILTER (WHERE full_rounds > 0), 0) AS best_minute
        FROM posting_pace
        WHERE minute > clock_timestamp() - make_interval(hours => %s)
          AND minute < date_trunc('minute', clock_timestamp())
        GROUP BY 1
        """,
        (_KEEP_HOURS,),
    ).fetchall()
    return {row.pop("target_connection"): Pace(**row) for row in rows}
