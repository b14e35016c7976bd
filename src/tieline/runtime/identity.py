"""Is this the database that we left, or a copy of it that somebody restored?

A dump that was restored stands in another cluster, or at least in a new table; a base backup that was
recovered runs on a new timeline; a copy of files that was put back ends before the place in the log that
this home noted last. A standby that was promoted looks the same, and may have lost as much.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from psycopg import Connection

_FILE = "database.json"
Row = dict[str, Any]


def why_restored(connection: Connection[Row], *, home: Path) -> str | None:
    """Say what shows that the database was restored, None when it is the one that we left.

    Remembers what it is now, so that the same restore is told once.
    """
    now = connection.execute(
        """
        SELECT s.system_identifier, p.timeline_id, 'database_mark'::regclass::oid AS table_oid,
               (pg_current_wal_flush_lsn() - '0/0')::bigint AS position
        FROM pg_control_system() s, pg_control_checkpoint() p
        """
    ).fetchone()
    assert now is not None
    before = connection.execute("SELECT * FROM database_mark").fetchone()
    because = _compare(before, now) or _went_back(_noted(home), now)
    connection.execute(
        """
        INSERT INTO database_mark (system_identifier, timeline_id, table_oid)
        VALUES (%(system_identifier)s, %(timeline_id)s, %(table_oid)s)
        ON CONFLICT (only_one) DO UPDATE SET system_identifier = excluded.system_identifier,
            timeline_id = excluded.timeline_id, table_oid = excluded.table_oid
        WHERE (database_mark.system_identifier, database_mark.timeline_id, database_mark.table_oid)
            IS DISTINCT FROM (excluded.system_identifier, excluded.timeline_id, excluded.table_oid)
        """,
        now,
    )
    return because


def note_position(connection: Connection[Row], *, home: Path) -> None:
    """Note beside the database how far its log has come; it never goes back by itself."""
    row = connection.execute(
        "SELECT s.system_identifier, (pg_current_wal_flush_lsn() - '0/0')::bigint AS position"
        " FROM pg_control_system() s"
    ).fetchone()
    assert row is not None
    path = home / _FILE
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(
        json.dumps({"system": row["system_identifier"], "position": row["position"]}),
        encoding="utf-8",
    )
    draft.replace(path)


def _compare(before: Row | None, now: Row) -> str | None:
    if before is None:
        return None
    if before["system_identifier"] != now["system_identifier"]:
        return "it stands in another cluster than the one it was written in"
    if before["table_oid"] != now["table_oid"]:
        return "its tables were made anew since it was written"
    if before["timeline_id"] != now["timeline_id"]:
        return "its server was recovered, or promoted, since it was written"
    return None


def _went_back(noted: dict[str, int] | None, now: Row) -> str | None:
    if noted is None or noted["system"] != now["system_identifier"]:
        return None
    if now["position"] < noted["position"]:
        return "its log ends before the place that this home has seen"
    return None


def _noted(home: Path) -> dict[str, int] | None:
    try:
        noted: dict[str, int] = json.loads((home / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return noted
