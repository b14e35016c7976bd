"""Pause a connection and let it go on: nothing is read from it or written to it in between.

Pattern: on request, one connection at a time. Vendor calls: none.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection

from tieline.governance import record_audit

Row = dict[str, Any]

ROLES_THAT_PAUSE = ("controller", "integration")


def set_paused(
    connection: Connection[Row],
    *,
    connection_key: str,
    is_paused: bool,
    by: str,
    reason: str,
    now: datetime,
    through: str = "",
) -> bool:
    """Pause a connection or let it go on; return False where it was so already.

    :raises LookupError: no connection has this name.
    """
    row = connection.execute(
        "SELECT paused FROM connection WHERE connection_key = %s FOR UPDATE", (connection_key,)
    ).fetchone()
    if row is None:
        raise LookupError(f"no connection is called {connection_key}")
    if row["paused"] is is_paused:
        return False
    connection.execute(
        "UPDATE connection SET paused = %s WHERE connection_key = %s", (is_paused, connection_key)
    )
    record_audit(
        connection,
        now=now,
        actor=by,
        action="connection.paused" if is_paused else "connection.resumed",
        object=f"connection:{connection_key}",
        entity_code=None,
        reason=reason,
        data={"key": through} if through else {},
    )
    return True
