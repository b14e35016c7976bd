"""Keep cases equal to what is held: open, join, leave and close in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from tieline.runtime.sql import load

_SYNC = load("tieline.casework", "sync_cases")
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('casework.sync'))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """Count what one pass changed."""

    opened: int
    joined: int
    left: int
    closed: int


def sync_time_cases(
    connection: Connection[dict[str, Any]], *, now: datetime, correlation_id: str
) -> Upkeep:
    """Bring cases in line with held hours, unreadable records and refused writes.

    A fixpoint: a second pass over the same facts changes nothing.
    """
    connection.execute(_ONE_AT_A_TIME)
    row = connection.execute(_SYNC, {"now": now, "correlation_id": correlation_id}).fetchone()
    assert row is not None
    return Upkeep(
        opened=row["opened"], joined=row["joined"], left=row["left_count"], closed=row["closed"]
    )
