"""Understand again what was kept as it came, with the translator of today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.intake.landing import LandingPage, Translate, understand
from tieline.runtime.sql import load
from tieline.sdk import RawRecord, Translated, Untranslatable

_SLICE = load("tieline.intake", "replay_slice")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Which records: of a connection, and, where it is given, only some of them.

    Days are half-open: ``since`` and ``until`` are when bytes were received, ``worked_since`` and
    ``worked_until`` when hours were worked.
    """

    connection_key: str
    object: str | None = None
    since: date | None = None
    until: date | None = None
    worked_since: date | None = None
    worked_until: date | None = None
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The record that is believed, with its bytes; None where they are kept no longer."""

    record: RawRecord | None
    raw_id: int | None
    entry_id: UUID | None
    is_deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A record as the translator of today understands it."""

    kept: Kept
    result: Translated | Untranslatable


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of a slice: batches with what is new, and the hours of all of it."""

    batch_ids: tuple[int, ...]
    entry_ids: tuple[UUID, ...]
    versions: int
    not_understood: int


def read_slice(connection: Connection[Row], *, slice: Slice, limit: int) -> tuple[Kept, ...]:
    """Return the records of a slice as they were kept, at most so many."""
    rows = connection.execute(
        _SLICE,
        {
            "connection_key": slice.connection_key,
            "object": slice.object,
            "since": slice.since,
            "until": slice.until,
            "worked_since": slice.worked_since,
            "worked_until": slice.worked_until,
            "refs": list(slice.refs) or None,
            "limit": limit,
        },
    ).fetchall()
    return tuple(_kept(row) for row in rows)


def translate_again(kept: Sequence[Kept], *, translate: Translate) -> tuple[Understood, ...]:
    """Understand records anew; what is gone at its source, or kept no longer, is left as it is."""
    found = (
        Understood(kept=each, result=translate(each.record))
        for each in kept
        if each.record is not None
    )
    return tuple(each for each in found if not each.kept.is_deleted or _says_deleted(each.result))


def land_again(
    connection: Connection[Row],
    *,
    connection_key: str,
    understood: Sequence[Understood],
    translator: int,
    material_key: bytes,
    now: datetime,
    correlation_id: str,
) -> Replayed:
    """Store what is understood otherwise than it stands, in the caller's transaction.

    What is understood as it stands makes no version; nothing is kept a second time.
    """
    batch_ids, versions, unclear = [], 0, 0
    epoch = _source_epoch(connection, connection_key)
    for object_name, group in groupby(understood, key=lambda each: _record(each).object):
        page = list(group)
        batch_id = _begin(connection, connection_key, object_name, len(page), now, correlation_id)
        by_ref = {_record(each).source_ref: each.result for each in page}
        landed = understand(
            connection,
            page=LandingPage(
                connection_key=connection_key,
                source_epoch=epoch,
                stream=object_name,
                kind="replay",
                records=[_record(each) for each in page],
                cursor=None,
                correlation_id=correlation_id,
            ),
            batch_id=batch_id,
            raw_ids={
                (object_name, _record(each).source_ref): each.kept.raw_id or 0 for each in page
            },
            translate=lambda record, by_ref=by_ref: by_ref[record.source_ref],  # type: ignore[misc]
            translator=translator,
            material_key=material_key,
            now=now,
        )
        batch_ids.append(batch_id)
        versions += landed.versions
        unclear += landed.untranslated
        connection.execute("DROP TABLE IF EXISTS landing_time, landing_noun")
    return Replayed(
        batch_ids=tuple(batch_ids),
        entry_ids=tuple(each.kept.entry_id for each in understood if each.kept.entry_id),
        versions=versions,
        not_understood=unclear,
    )


def _kept(row: Row) -> Kept:
    body = row["body"]
    record = None
    if body is not None:
        record = RawRecord(
            object=row["object"],
            source_ref=row["source_ref"],
            body=bytes(body),
            source_at=row["source_at"],
            line_number=row["line_number"],
        )
    return Kept(
        record=record,
        raw_id=row["raw_id"],
        entry_id=row["entry_id"],
        is_deleted=row["is_deleted"],
    )


def _says_deleted(result: Translated | Untranslatable) -> bool:
    # A deletion that was found by looking is not in the bytes: they must not bring a record back.
    return isinstance(result, Translated) and result.is_deleted


def _record(understood: Understood) -> RawRecord:
    assert understood.kept.record is not None
    return understood.kept.record


def _begin(
    connection: Connection[Row],
    connection_key: str,
    object_name: str,
    rows: int,
    now: datetime,
    correlation_id: str,
) -> int:
    row = connection.execute(
        "INSERT INTO intake_batch (connection_key, stream, kind, rows, correlation_id, recorded_at)"
        " VALUES (%s, %s, 'replay', %s, %s, %s) RETURNING batch_id",
        (connection_key, object_name, rows, correlation_id, now),
    ).fetchone()
    assert row is not None
    return int(row["batch_id"])


def _source_epoch(connection: Connection[Row], connection_key: str) -> int:
    row = connection.execute(
        "SELECT source_epoch FROM connection WHERE connection_key = %s", (connection_key,)
    ).fetchone()
    if row is None:
        raise LookupError(f"no connection is called {connection_key}")
    return int(row["source_epoch"])
