"""What a page or a person at the command line sees first: does it run, what waits, what needs me."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection

from tieline.register import list_drifts
from tieline.runtime.database import Row

PLACES = ("posted", "pending", "held", "excluded", "handed_over")


def read_status(connection: Connection[Row], *, now: datetime) -> dict[str, Any]:
    """Return connections, workers, what waits and what needs attention, as plain values."""
    return {
        "as_of": now.isoformat(),
        "connections": read_connections(connection),
        "workers": _rows(
            connection,
            "SELECT executor_id, host, version, state, heartbeat_at FROM executor"
            " WHERE state = 'alive' AND lease_until > clock_timestamp() ORDER BY executor_id",
        ),
        "waiting_work": _rows(
            connection,
            "SELECT kind, state, count(*) AS items FROM work_item"
            " WHERE state IN ('waiting', 'running', 'failed') GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        "unconfirmed_writes": _rows(
            connection,
            "SELECT target_connection, noun, state, count(*) AS writes FROM effect"
            " WHERE state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFLICT') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        ),
        "open_cases": _rows(
            connection,
            "SELECT reason, owner_queue, count(*) AS cases FROM case_file WHERE state = 'open'"
            " GROUP BY 1, 2 ORDER BY 3 DESC, 1",
        ),
        "refused_changes": read_refused_changes(connection),
        "periods": read_tie_out(connection),
    }


def read_connections(connection: Connection[Row]) -> list[Row]:
    """Return every connection with its mode and how fresh and healthy its streams are."""
    return _rows(
        connection,
        """
        SELECT c.connection_key, c.system, c.kind, c.mode, c.paused, max(s.read_at) AS read_at,
               string_agg(DISTINCT s.last_error, '; ') AS last_error, max(b.breaker) AS breaker
        FROM connection c
        LEFT JOIN stream_cursor s USING (connection_key)
        LEFT JOIN connection_budget b USING (connection_key)
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1
        """,
    )


def read_refused_changes(connection: Connection[Row]) -> list[Row]:
    """Return the changes that stand refused: of what, by whom, and whose the field is."""
    return [
        {
            "what": drift.name or str(drift.our_id),
            "field": drift.field,
            "changed_by": drift.written_by,
            "owned_by": drift.owner_key or drift.owner_kind,
            "since": drift.since,
            "now": f"kept as {drift.owner_key or drift.owner_kind} says it:"
            f" change it there, or put {drift.written_by} right",
        }
        for drift in list_drifts(connection)
        if drift.ended_at is None
    ]


def read_tie_out(connection: Connection[Row]) -> list[Row]:
    """Return per entity and period the line that adds up, in seconds.

    Approved in the time tool = in the ERP + waiting + needs attention + left out + given to finance.
    """
    return _rows(
        connection,
        """
        SELECT coalesce(p.entity_code, '') AS entity_code, f.period_code, f.state AS period_state, f.cut_off_at,
               sum(p.seconds)::bigint AS approved_seconds,
               coalesce(sum(p.seconds) FILTER (WHERE p.place = 'posted'), 0)::bigint AS posted_seconds,
               coalesce(sum(p.seconds) FILTER (WHERE p.place = 'pending'), 0)::bigint AS pending_seconds,
               coalesce(sum(p.seconds) FILTER (WHERE p.place = 'held'), 0)::bigint AS held_seconds,
               coalesce(sum(p.seconds) FILTER (WHERE p.place = 'excluded'), 0)::bigint AS excluded_seconds,
               coalesce(sum(p.seconds) FILTER (WHERE p.place = 'handed_over'), 0)::bigint AS handed_over_seconds,
               count(*) AS entries
        FROM entry_places p LEFT JOIN fiscal_period f ON f.period_id = p.period_id
        WHERE p.place = ANY (%s)
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
        """,
        (list(PLACES),),
    )


def _rows(connection: Connection[Row], statement: str, values: tuple[Any, ...] = ()) -> list[Row]:
    return connection.execute(statement, values).fetchall()
