"""Deletes that a vendor does not announce: suspected by a complete read, believed on evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.runtime.database import Database
from tieline.runtime.sql import load

_MARK_DELETED = load("tieline.intake", "mark_deleted")
DELETE_SHARE_MAX = 50  # one in so many, that is 2 %
DELETE_RECORDS_MIN = 20

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletesFound:
    """Records now known to be gone, and the incident when too many were missing at once."""

    batch_id: int | None
    deleted: int
    incident: CaseRequest | None


def confirm_deletes(
    database: Database,
    *,
    connection_key: str,
    object: str,
    seen: frozenset[tuple[str, str]],
    is_gone: Callable[[str], bool],
    now: datetime,
    correlation_id: str,
) -> DeletesFound:
    """Compare a complete read with what we hold; ask for each missing record by itself.

    ``seen`` is every record of the window, which the caller read completely. ``is_gone`` answers
    True only for the vendor's own 404 or 410.
    """
    missing, held = _missing(database, connection_key=connection_key, object=object, seen=seen)
    limit = max(DELETE_RECORDS_MIN, held // DELETE_SHARE_MAX)
    if len(missing) > limit:
        return DeletesFound(
            batch_id=None,
            deleted=0,
            incident=_incident(connection_key, object, len(missing), held),
        )
    gone = [source_ref for source_ref in missing if is_gone(source_ref)]
    if not gone:
        return DeletesFound(batch_id=None, deleted=0, incident=None)
    with database.transaction() as connection:
        batch_id = _store(connection, connection_key, object, gone, now, correlation_id)
    return DeletesFound(batch_id=batch_id, deleted=len(gone), incident=None)


def _missing(
    database: Database, *, connection_key: str, object: str, seen: frozenset[tuple[str, str]]
) -> tuple[list[str], int]:
    refs = [source_ref for seen_object, source_ref in seen if seen_object == object]
    with database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT t.source_ref, t.source_ref = ANY (%s::text[]) AS is_seen
            FROM time_entry t
            JOIN time_entry_version v ON v.entry_id = t.entry_id AND v.is_newest
            JOIN connection c ON c.connection_key = t.connection_key AND c.source_epoch = t.source_epoch
            WHERE t.connection_key = %s AND t.object = %s AND NOT v.is_deleted
            """,
            (refs, connection_key, object),
        ).fetchall()
    return [row["source_ref"] for row in rows if not row["is_seen"]], len(rows)


def _store(
    connection: Connection[Row],
    connection_key: str,
    object: str,
    gone: list[str],
    now: datetime,
    correlation_id: str,
) -> int:
    row = connection.execute(
        """
        INSERT INTO intake_batch (connection_key, stream, kind, state, rows, correlation_id,
            recorded_at, landed_at)
        VALUES (%s, %s, 'full', 'landed', %s, %s, %s, %s) RETURNING batch_id
        """,
        (connection_key, object, len(gone), correlation_id, now, now),
    ).fetchone()
    assert row is not None
    connection.execute(
        _MARK_DELETED,
        {
            "connection_key": connection_key,
            "object": object,
            "gone": gone,
            "now": now,
            "batch_id": row["batch_id"],
            "correlation_id": correlation_id,
        },
    )
    return int(row["batch_id"])


def _incident(connection_key: str, object: str, missing: int, held: int) -> CaseRequest:
    return CaseRequest(
        reason="intake.too_many_missing",
        owner_queue="integration",
        thing_kind="stream",
        thing_key=f"{connection_key}:{object}",
        entity_code=None,
        members=(CaseMember(kind="stream", key=f"{connection_key}:{object}"),),
        details={"missing": str(missing), "held": str(held)},
        is_incident=True,
    )
