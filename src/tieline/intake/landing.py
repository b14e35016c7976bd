"""Land one page: raw rows first and committed, then canonical versions, in sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from tieline.canonical import TimeEntry
from tieline.intake.fitting import unstorable
from tieline.intake.material import (
    MATERIAL_VERSION,
    as_json,
    noun_material_hash,
    time_material_hash,
)
from tieline.kernel.failpoints import failpoint
from tieline.runtime.database import Database
from tieline.runtime.sql import load
from tieline.sdk import RawRecord, Translated, Untranslatable

_STAGE_RAW = load("tieline.intake", "stage_raw")
_STORE_RAW = load("tieline.intake", "store_raw")
_STAGE_TIME = load("tieline.intake", "stage_time")
_ADD_TIME = load("tieline.intake", "add_time")
_COMPARE_TIME = load("tieline.intake", "compare_time")
_SAME_BYTES = load("tieline.intake", "same_bytes")
_DECIDE_TIME = load("tieline.intake", "decide_time")
_STORE_TIME = load("tieline.intake", "store_time")
_STAGE_NOUN = load("tieline.intake", "stage_noun")
_STORE_NOUN = load("tieline.intake", "store_noun")

# What the staging tables hold, column by column: binary rows are neither written nor read as text.
_RAW_TYPES = ("text", "text", "bytea", "bytea", "timestamptz", "int4")
_TIME_TYPES = (
    "text", "text", "int8", "bool", "text", "text", "text", "text", "date", "text", "int4", "int4",
    "timestamptz", "timestamptz", "bool", "text", "text", "text", "timestamptz", "timestamptz", "text", "bytea",
    "bytea", "timestamptz", "int4",
)  # fmt: skip

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

Row = dict[str, Any]
Translate = Callable[[RawRecord], Translated | Untranslatable]


@dataclass(frozen=True, slots=True, kw_only=True)
class LandingPage:
    """One page of a stream on its way in."""

    connection_key: str
    source_epoch: int
    stream: str
    kind: str
    records: Sequence[RawRecord]
    cursor: str | None
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """A committed batch: rows seen, new versions stored, records nobody could understand.

    ``otherwise`` counts hours that a new translator reads otherwise, and that stand as they stood.
    """

    batch_id: int
    rows: int
    versions: int
    untranslated: int
    otherwise: int


def land(
    database: Database,
    *,
    page: LandingPage,
    translate: Translate,
    translator: int = 0,
    material_key: bytes,
    now: datetime,
) -> Landed:
    """Store a page raw, commit, then understand it; a crash in between is read again."""
    batch_id, raw_ids = _store_raw(database, page=page, now=now)
    failpoint("intake.after_raw")
    with database.transaction() as connection:
        landed = understand(
            connection,
            page=page,
            batch_id=batch_id,
            raw_ids=raw_ids,
            translate=translate,
            translator=translator,
            material_key=material_key,
            now=now,
        )
        _advance_cursor(connection, page=page, now=now)
    failpoint("intake.after_versions")
    return landed


def abandon(database: Database, *, connection_key: str, stream: str) -> None:
    """Give up the batches of a stream whose reader died; the cursor did not move: they come again."""
    with database.transaction() as connection:
        connection.execute(
            "UPDATE intake_batch SET state = 'cancelled'"
            " WHERE connection_key = %s AND stream = %s AND state = 'landing'",
            (connection_key, stream),
        )


def _store_raw(
    database: Database, *, page: LandingPage, now: datetime
) -> tuple[int, dict[tuple[str, str], int]]:
    with database.transaction() as connection:
        row = connection.execute(
            """
            INSERT INTO intake_batch (connection_key, stream, kind, rows, correlation_id, recorded_at)
            VALUES (%s, %s, %s, %s, %s, %s) RETURNING batch_id
            """,
            (page.connection_key, page.stream, page.kind, len(page.records),
             page.correlation_id, now),
        ).fetchone()  # fmt: skip
        assert row is not None
        batch_id = int(row["batch_id"])
        connection.execute(_STAGE_RAW)
        with connection.cursor().copy(
            "COPY landing_raw (object, source_ref, raw_hash, body, source_at, line_number)"
            " FROM STDIN (FORMAT BINARY)"
        ) as copy:
            copy.set_types(_RAW_TYPES)
            for record in _newest(page.records):
                copy.write_row(
                    (
                        record.object,
                        record.source_ref,
                        hashlib.sha256(record.body).digest(),
                        record.body,
                        record.source_at,
                        record.line_number,
                    )
                )
        with connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(
                _STORE_RAW,
                {
                    "connection_key": page.connection_key,
                    "source_epoch": page.source_epoch,
                    "batch_id": batch_id,
                    "received_on": now.date(),
                },
            )
            raw_ids = {(name, source_ref): raw_id for name, source_ref, raw_id in cursor}
    return batch_id, raw_ids


def _newest(records: Sequence[RawRecord]) -> Iterable[RawRecord]:
    """Leave the newest of what a page says of one record; of two as new, the later one."""
    newest: dict[tuple[str, str], RawRecord] = {}
    for record in records:
        other = newest.setdefault((record.object, record.source_ref), record)
        if other is not record and _age(record) >= _age(other):
            newest[(record.object, record.source_ref)] = record
    return newest.values()


def _age(record: RawRecord) -> tuple[datetime, int]:
    return record.source_at or _LONG_AGO, record.line_number or 0


def understand(
    connection: Connection[Row],
    *,
    page: LandingPage,
    batch_id: int,
    raw_ids: dict[tuple[str, str], int],
    translate: Translate,
    translator: int,
    material_key: bytes,
    now: datetime,
) -> Landed:
    """Store what the records of a batch mean, in the caller's transaction; same again is no version.

    The same bytes read otherwise by a newer translator are a version only in a replay, which people
    look at before: a new release of ours moves no money by itself.
    """
    hours: list[tuple[RawRecord, TimeEntry, bool]] = []
    others: list[tuple[RawRecord, Translated]] = []
    unclear: list[tuple[RawRecord, Untranslatable]] = []
    for record in page.records:
        result = translate(record)
        if isinstance(result, Translated) and (why := unstorable(result.noun)) is not None:
            result = why
        match result:
            case Untranslatable():
                unclear.append((record, result))
            case Translated(noun=TimeEntry() as hour):
                hours.append((record, hour, result.is_deleted))
            case Translated():
                others.append((record, result))
    versions = otherwise = 0
    values = {
        "connection_key": page.connection_key,
        "source_epoch": page.source_epoch,
        "batch_id": batch_id,
        "correlation_id": page.correlation_id,
        "now": now,
        # Each only ever rises, so their sum stands for one of both alone.
        "material_version": MATERIAL_VERSION + translator,
    }
    if hours:
        _stage_time(connection, hours, raw_ids, material_key)
        if _answer(connection, _ADD_TIME, values):
            _run(connection, _COMPARE_TIME, values)
            if page.kind != "replay":
                otherwise = connection.execute(_SAME_BYTES, values).rowcount
            _run(connection, _DECIDE_TIME, values)
        versions += _answer(connection, _STORE_TIME, values)
    if others:
        # A record that a hint names and one that a poll finds may be the same, read beside each other.
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7031))", (page.connection_key,)
        )
        _stage_nouns(connection, others, raw_ids, material_key)
        versions += _answer(connection, _STORE_NOUN, values)
    _store_unclear(connection, unclear, raw_ids, page=page, now=now)
    _heal(connection, [record for record, *_ in hours], page=page, now=now)
    _heal(connection, [record for record, _ in others], page=page, now=now)
    connection.execute(
        "UPDATE intake_batch SET state = 'landed', landed_at = %s WHERE batch_id = %s",
        (now, batch_id),
    )
    return Landed(
        batch_id=batch_id,
        rows=len(page.records),
        versions=versions,
        untranslated=len(unclear),
        otherwise=otherwise,
    )


def _stage_time(
    connection: Connection[Row],
    hours: Sequence[tuple[RawRecord, TimeEntry, bool]],
    raw_ids: dict[tuple[str, str], int],
    key: bytes,
) -> None:
    connection.execute(_STAGE_TIME)
    with connection.cursor().copy(
        """
        COPY landing_time (object, source_ref, raw_id, is_deleted, person_ref, project_ref, task_ref,
            labor_category, work_date, zone, seconds, quantum_seconds, started_at, ended_at, is_billable,
            approval, approval_word, approver_ref, approved_at, created_at, narrative, narrative_hash,
            material_hash, source_at, line_number) FROM STDIN (FORMAT BINARY)
        """
    ) as copy:
        copy.set_types(_TIME_TYPES)
        for record, hour, is_deleted in hours:
            narrative = (hour.narrative or "").strip()
            copy.write_row(
                (
                    record.object,
                    record.source_ref,
                    raw_ids[(record.object, record.source_ref)],
                    is_deleted,
                    hour.person_ref,
                    hour.project_ref,
                    hour.task_ref,
                    hour.labor_category,
                    hour.work_date,
                    hour.zone,
                    hour.seconds,
                    hour.quantum_seconds,
                    hour.started_at,
                    hour.ended_at,
                    hour.billable,
                    hour.approval.value,
                    hour.approval_word,
                    hour.approver_ref,
                    hour.approved_at,
                    hour.created_at,
                    narrative or None,
                    hashlib.sha256(key + narrative.encode()).digest() if narrative else None,
                    time_material_hash(hour, key=key, is_deleted=is_deleted),
                    record.source_at,
                    record.line_number,
                )
            )


def _stage_nouns(
    connection: Connection[Row],
    others: Sequence[tuple[RawRecord, Translated]],
    raw_ids: dict[tuple[str, str], int],
    key: bytes,
) -> None:
    connection.execute(_STAGE_NOUN)
    with connection.cursor().copy(
        """
        COPY landing_noun (object, source_ref, raw_id, noun, data, is_deleted, material_hash, source_at)
        FROM STDIN
        """
    ) as copy:
        for record, translated in others:
            copy.write_row(
                (
                    record.object,
                    record.source_ref,
                    raw_ids[(record.object, record.source_ref)],
                    type(translated.noun).__name__,
                    Jsonb(as_json(translated.noun)),
                    translated.is_deleted,
                    noun_material_hash(translated.noun, key=key, is_deleted=translated.is_deleted),
                    record.source_at,
                )
            )


def _answer(connection: Connection[Row], script: str, values: Row) -> int:
    """Run a script whose last statement counts ``rows``."""
    row = _run(connection, script, values).fetchone()
    assert row is not None
    return int(row["rows"])


def _run(connection: Connection[Row], script: str, values: Row) -> Cursor[Row]:
    # Statements are separated by a line "-- then".
    *first, last = script.split("-- then\n")
    for statement in first:
        connection.execute(statement, values)
    return connection.execute(last, values)


def _store_unclear(
    connection: Connection[Row],
    unclear: Sequence[tuple[RawRecord, Untranslatable]],
    raw_ids: dict[tuple[str, str], int],
    *,
    page: LandingPage,
    now: datetime,
) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO untranslated (connection_key, source_epoch, object, source_ref, raw_id, reason,
                field, message, line_number, recorded_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (connection_key, source_epoch, object, source_ref) DO UPDATE
            SET raw_id = excluded.raw_id, reason = excluded.reason, field = excluded.field,
                message = excluded.message, line_number = excluded.line_number, healed_at = NULL
            """,
            [
                (
                    page.connection_key,
                    page.source_epoch,
                    record.object,
                    record.source_ref,
                    raw_ids[(record.object, record.source_ref)],
                    why.reason,
                    why.field,
                    why.message,
                    record.line_number,
                    now,
                )
                for record, why in unclear
            ],
        )


def _heal(
    connection: Connection[Row],
    records: Sequence[RawRecord],
    *,
    page: LandingPage,
    now: datetime,
) -> None:
    if records:
        connection.execute(
            """
            UPDATE untranslated SET healed_at = %s
            WHERE connection_key = %s AND source_epoch = %s AND object = %s
              AND source_ref = ANY (%s::text[]) AND healed_at IS NULL
            """,
            (now, page.connection_key, page.source_epoch, records[0].object,
             [record.source_ref for record in records]),
        )  # fmt: skip


def _advance_cursor(connection: Connection[Row], *, page: LandingPage, now: datetime) -> None:
    if page.cursor is not None:
        connection.execute(
            """
            INSERT INTO stream_cursor (connection_key, stream, cursor, read_at) VALUES (%s, %s, %s, %s)
            ON CONFLICT (connection_key, stream)
            DO UPDATE SET cursor = excluded.cursor, read_at = excluded.read_at, last_error = NULL
            """,
            (page.connection_key, page.stream, page.cursor, now),
        )
