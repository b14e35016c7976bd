"""The audit: who did what to which thing, when and why; ids and codes, never names of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

AUDIT_PAGE_MAX = 500

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One thing somebody did; ``actor`` is a login or the name of a key."""

    audit_id: int
    at: datetime
    actor: str
    action: str
    object: str
    entity_code: str | None
    reason: str
    data: Mapping[str, Any]


def record_audit(
    connection: Connection[Row],
    *,
    now: datetime,
    actor: str,
    action: str,
    object: str,
    entity_code: str | None,
    reason: str,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write one row, in the transaction of what it tells about."""
    connection.execute(
        "INSERT INTO audit (at, actor, action, object, entity_code, reason, data)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (now, actor, action, object, entity_code, reason, Jsonb(dict(data or {}))),
    )


def list_audit(
    connection: Connection[Row],
    *,
    object: str | None = None,
    actor: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[AuditRow, ...]:
    """List the newest rows first."""
    rows = connection.execute(
        """
        SELECT audit_id, at, actor, action, object, entity_code, reason, data FROM audit
        WHERE (%(object)s::text IS NULL OR object = %(object)s)
          AND (%(actor)s::text IS NULL OR actor = %(actor)s)
        ORDER BY audit_id DESC LIMIT %(limit)s OFFSET %(offset)s
        """,
        {
            "object": object,
            "actor": actor,
            "limit": min(limit, AUDIT_PAGE_MAX),
            "offset": offset,
        },
    ).fetchall()
    return tuple(AuditRow(**row) for row in rows)
