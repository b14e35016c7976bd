"""Judge a batch and its neighbors in one transaction, in sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import ClientCursor, Connection, Cursor
from psycopg.rows import dict_row

from tieline.kernel.clock import Clock
from tieline.kernel.errors import MendTieline
from tieline.policy import current_release
from tieline.runtime.database import Row
from tieline.runtime.sql import load
from tieline.validation.answering import make_judged
from tieline.validation.statement import load_rules
from tieline.validation.weighing import DECIDE, WEIGHED

# A power of two: the bucket of a key is the last bits of its hash.
BUCKETS = 64
_LOCK_SPACE = 6027
_LARGE_BATCH = 500
# The key of one hour alone; what it names is found by its id, never among the neighbors.
_ENTRY_KEY = "entry:"
# Judging a batch does not take the buckets of these: who serves one takes every bucket instead.
REFERENCE_KINDS = ("person", "project", "contract", "approver")
# Every other kind of key names hours that are judged together with the one that has it.
ALONE_KINDS = ("entry", *REFERENCE_KINDS)
_ROLES = ("tieline_worker", "tieline_judge", "tieline_owner")

_SUBJECTS = load("tieline.validation", "subjects")
_BUCKETS = load("tieline.validation", "buckets")
# What the statement builds on its way stays in memory: a page of 5,000 hours needs about half of it.
_MEMORY = "SET LOCAL work_mem = '64MB'"
_SERVED = "DELETE FROM rejudge WHERE neighbor_key = ANY (%(keys)s::text[]) AND recorded_at <= %(known_at)s"
_STORE = load("tieline.validation", "store").replace("{decide}", DECIDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was judged: the entries, how many verdicts are new per outcome, and a firm's rules that failed."""

    entry_ids: tuple[UUID, ...]
    by_outcome: dict[str, int]
    failed_rules: tuple[str, ...]


def judge(
    connection: Connection[Row],
    *,
    clock: Clock,
    correlation_id: str,
    batch_id: int | None = None,
    neighbor_keys: Sequence[str] | None = None,
) -> Judged:
    """Judge a batch, or whatever has these keys, and every unposted neighbor.

    A verdict is stored only where it differs from the one that stands. Served ``rejudge`` rows are
    deleted in the same transaction; one that is newer than what was looked at stays.

    :raises MendTieline: the context does not have exactly one row per entry; nothing was judged.
    """
    _check_role(connection)
    keys = _keys(connection, batch_id=batch_id, neighbor_keys=neighbor_keys)
    values: Row = {
        "batch_id": batch_id,
        "keys": keys,
        "set_keys": [key for key in keys if not key.startswith(_ENTRY_KEY)],
        "correlation_id": correlation_id,
        "apart": list(ALONE_KINDS),
    }
    with ClientCursor(connection, row_factory=dict_row) as cursor:
        _forget(cursor)
        now = _lock(cursor, values, clock)
        release = current_release(connection)
        values |= {"known_at": now, "now": now, "release_id": release.release_id}
        if cursor.execute("SELECT 1 FROM judge_subject LIMIT 1").fetchone() is None:
            return Judged(entry_ids=(), by_outcome={}, failed_rules=())
        cursor.execute(_MEMORY)
        failed = make_judged(
            connection,
            cursor,
            rules=load_rules(connection, release_id=release.release_id),
            values=values,
        )
        _check_counts(connection)
        _run(cursor, WEIGHED, values)
        _run(cursor, _STORE, values)
    return _result(connection, failed)


def _forget(cursor: ClientCursor[Row]) -> None:
    """Drop what was judged before in this transaction; the driver lets go of all kept plans where anything is dropped."""
    found = cursor.execute("SELECT to_regclass('pg_temp.judged') AS judged").fetchone()
    if found is not None and found["judged"] is not None:
        cursor.execute("DROP TABLE IF EXISTS judged, weighed, new_verdict")


def _check_role(connection: Connection[Row]) -> None:
    row = connection.execute("SELECT current_user AS name").fetchone()
    if row is None or row["name"] not in _ROLES:
        raise MendTieline("rules are only right when they see every row: judge as the worker")


def _keys(
    connection: Connection[Row], *, batch_id: int | None, neighbor_keys: Sequence[str] | None
) -> list[str]:
    if neighbor_keys is not None:
        return sorted(set(neighbor_keys))
    rows = connection.execute(
        "SELECT DISTINCT neighbor_key FROM rejudge WHERE batch_id = %s ORDER BY 1", (batch_id,)
    ).fetchall()
    return [row["neighbor_key"] for row in rows]


def _lock(cursor: ClientCursor[Row], values: Row, clock: Clock) -> datetime:
    """Find the subjects, alone with them and their neighbors, and serve their marks; return as of which instant.

    Two judges wait for one another. Buckets are taken in ascending order. Who is a subject is looked up again once
    they are held: only now what others made known until here is committed, and is looked at. What falls from now on
    leaves a mark that stays.
    """
    if len(values["keys"]) > _LARGE_BATCH or any(
        key.partition(":")[0] in REFERENCE_KINDS for key in values["keys"]
    ):
        lock_every_bucket(cursor)
        at = _serve(cursor, values, clock)
        _run(cursor, _SUBJECTS, values)
        return at
    held: set[int] = set()
    while True:
        # The buckets of all keys are held when their marks are served: nobody else serves them.
        served_at = _serve(cursor, values, clock) if held else None
        _run(cursor, _SUBJECTS, values)
        rows = cursor.execute(_BUCKETS, values | {"mask": BUCKETS - 1}).fetchall()
        missing = sorted({row["bucket"] for row in rows} - held)
        if not missing:
            return clock.now() if served_at is None else served_at
        _take(cursor, missing)
        held.update(missing)


def _serve(cursor: ClientCursor[Row], values: Row, clock: Clock) -> datetime:
    now = clock.now()
    cursor.execute(_SERVED, {"keys": values["keys"], "known_at": now})
    return now


def lock_every_bucket(cursor: Cursor[Row]) -> None:
    """Wait until no other judge is at work, and keep them waiting until the commit."""
    _take(cursor, range(BUCKETS))


def _take(cursor: Cursor[Row], buckets: Iterable[int]) -> None:
    # In the order of the array, and in one question: of a small batch, 64 of them were most of the time.
    cursor.execute(
        "SELECT pg_advisory_xact_lock(%s, bucket) FROM unnest(%s::integer[]) AS bucket",
        (_LOCK_SPACE, list(buckets)),
    )


def _check_counts(connection: Connection[Row]) -> None:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM judge_subject) AS asked, count(*) AS answered,"
        " count(DISTINCT entry_id) AS entries FROM judged"
    ).fetchone()
    assert row is not None
    if not row["asked"] == row["answered"] == row["entries"]:
        raise MendTieline(
            f"{row['asked']} entries were to be judged and the context has {row['answered']} rows"
            f" of {row['entries']} entries: nothing was judged"
        )


def _run(cursor: ClientCursor[Row], script: str, values: Row) -> None:
    for statement in script.split("-- then\n"):
        cursor.execute(statement, values)


def _result(connection: Connection[Row], failed: tuple[str, ...]) -> Judged:
    entries = connection.execute("SELECT entry_id FROM judge_subject ORDER BY 1").fetchall()
    outcomes = connection.execute(
        "SELECT outcome, count(*) AS verdicts FROM new_verdict GROUP BY 1"
    ).fetchall()
    return Judged(
        entry_ids=tuple(row["entry_id"] for row in entries),
        by_outcome={row["outcome"]: int(row["verdicts"]) for row in outcomes},
        failed_rules=failed,
    )
