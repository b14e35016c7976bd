"""Ask the other side what it counts, keep what it said with its instant, and name what lasts."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from io import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import Any, cast

from psycopg import Connection

from tieline.canonical import TimeEntry
from tieline.reconciliation.conservation import approved_seconds
from tieline.runtime.sql import load
from tieline.sdk import RawRecord, Reads, Translated, Translates, Untranslatable, WritesTimeLines
from tieline.sdk.directory import Connectors

SOURCE, TARGET = "source", "target"
DIFFERENCES_PAGE_MAX = 200
_IN_MEMORY_BYTES_MAX = 1 << 20
_COPIED_CHARACTERS = 1 << 16
_STAGE = load("tieline.reconciliation", "stage_asked")
_COMPARE = load("tieline.reconciliation", "compare_asked")
_KEEP = load("tieline.reconciliation", "keep_check")
_BOOKED = load("tieline.reconciliation", "booked_seconds")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a source or a target said when it was last asked; ``asked_at`` None: never.

    ``apart_seconds`` were being withdrawn, looked for or sent meanwhile and are not compared.
    """

    side: str
    connection_key: str
    system: str
    asked_at: datetime | None
    theirs_seconds: int
    ours_seconds: int
    gap_seconds: int
    apart_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One project and month on which the two sides differed, in so many checks in a row."""

    side: str
    connection_key: str
    entity_code: str
    month_on: date
    project_ref: str
    theirs_seconds: int
    ours_seconds: int
    since: datetime
    checks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetScope:
    """The hours of one legal entity and fiscal period in a target."""

    target_connection: str
    entity_code: str
    starts_on: date
    ends_on: date


class AskedHours:
    """Collect the hours that a source tells while it is read whole, in a file: memory stays flat."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(  # noqa: SIM115 - it lives as long as this does
            max_size=_IN_MEMORY_BYTES_MAX, mode="w+", encoding="utf-8", newline=""
        )
        self._rows = csv.writer(self._file)
        self._told = 0

    def note(self, record: RawRecord, result: Translated | Untranslatable) -> None:
        """Take a record in, if it is an hour."""
        if not isinstance(result, Translated) or not isinstance(result.noun, TimeEntry):
            return
        hour = result.noun
        self._told += 1
        self._rows.writerow(
            (
                self._told,
                record.object,
                record.source_ref,
                hour.project_ref,
                hour.work_date,
                approved_seconds(hour, is_deleted=result.is_deleted),
                record.source_at,
            )
        )

    def stage(self, connection: Connection[Row]) -> None:
        """Copy them into a table of this transaction."""
        connection.execute(_STAGE)
        self._file.seek(0)
        with connection.cursor().copy(
            "COPY asked_hour (told, object, source_ref, project_ref, work_date, seconds, source_at)"
            " FROM STDIN (FORMAT csv)"
        ) as copy:
            while text := self._file.read(_COPIED_CHARACTERS):
                copy.write(text)
        self._file.seek(0, SEEK_END)


def ask_streams(
    *, connectors: Connectors, connection_key: str, streams: Sequence[str]
) -> AskedHours:
    """Read the streams of a source to their end without landing anything."""
    connector = connectors.get(connection_key=connection_key)
    asked = AskedHours()
    for stream in streams:
        for page in cast(Reads, connector).pages(stream=stream, cursor=None, is_full=True):
            for record in page.records:
                asked.note(record, cast(Translates, connector).translate(record=record))
    return asked


def keep_source_check(
    connection: Connection[Row],
    *,
    connection_key: str,
    asked: AskedHours,
    batch_ids: Sequence[int],
    began_at: datetime,
) -> None:
    """Compare what a source told in a whole read with the five places, and keep the result.

    ``batch_ids`` are those of that very read; what other reads brought since stands apart.
    """
    asked.stage(connection)
    connection.execute(
        _COMPARE,
        {
            "connection_key": connection_key,
            "began_at": began_at,
            "batch_ids": list(batch_ids),
        },
    )
    _keep(connection, side=SOURCE, connection_key=connection_key, asked_at=began_at, scope=None)


def read_booked(connection: Connection[Row], *, scope: TargetScope) -> dict[str, tuple[int, bool]]:
    """Return what we booked by project, and whether something is on its way there."""
    rows = connection.execute(
        _BOOKED,
        {
            "target": scope.target_connection,
            "entity_code": scope.entity_code,
            "starts_on": scope.starts_on,
            "ends_on": scope.ends_on,
        },
    ).fetchall()
    return {row["project_code"]: (int(row["seconds"]), row["is_moving"]) for row in rows}


def ask_target(*, connectors: Connectors, scope: TargetScope) -> dict[str, int]:
    """Let a target itself add up its hours by project."""
    writer = cast(WritesTimeLines, connectors.get(connection_key=scope.target_connection))
    totals = writer.line_totals(
        entity_code=scope.entity_code, starts_on=scope.starts_on, ends_on=scope.ends_on
    )
    return {total.project_code: total.seconds for total in totals}


def note_target_asked(
    connection: Connection[Row], *, target_connection: str, asked_at: datetime
) -> None:
    """Keep that a target was asked, also where nothing was booked into it yet."""
    connection.execute(
        "INSERT INTO conservation_check (side, connection_key, asked_at) VALUES (%s, %s, %s)"
        " ON CONFLICT (side, connection_key) DO UPDATE SET asked_at = excluded.asked_at",
        (TARGET, target_connection, asked_at),
    )


def keep_target_check(
    connection: Connection[Row],
    *,
    scope: TargetScope,
    before: Mapping[str, tuple[int, bool]],
    theirs: Mapping[str, int],
    asked_at: datetime,
) -> None:
    """Compare what a target said with what was booked before it was asked, and is booked now.

    A project in which something moved meanwhile stands apart: it is compared the next time. The
    target's other projects are none of ours.
    """
    after = read_booked(connection, scope=scope)
    rows = [
        (scope.entity_code, scope.starts_on, code, *compared)
        for code in sorted(set(before) & set(after))
        for compared in [_compared(before[code], after[code], theirs.get(code, 0))]
        if any(compared)
    ]
    connection.execute(
        "CREATE TEMP TABLE compared (entity_code text, month_on date, project_ref text,"
        " theirs_seconds bigint, ours_seconds bigint, apart_seconds bigint, is_moving boolean)"
        " ON COMMIT DROP"
    )
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO compared VALUES (%s, %s, %s, %s, %s, %s, %s)", rows)
    _keep(
        connection,
        side=TARGET,
        connection_key=scope.target_connection,
        asked_at=asked_at,
        scope=scope,
    )


def list_checks(connection: Connection[Row]) -> tuple[Check, ...]:
    """List every source and target in sight with what it last said."""
    rows = connection.execute("SELECT * FROM page_checks()").fetchall()
    return tuple(
        Check(**{**row, **{name: row[name] or 0 for name in row if name.endswith("_seconds")}})
        for row in rows
    )


def list_differences(connection: Connection[Row]) -> tuple[Standing, ...]:
    """List where the two sides differed at the last check, the largest first."""
    rows = connection.execute(
        "SELECT * FROM page_differences() LIMIT %s", (DIFFERENCES_PAGE_MAX,)
    ).fetchall()
    return tuple(Standing(**row) for row in rows)


def _compared(
    before: tuple[int, bool], after: tuple[int, bool], theirs: int
) -> tuple[int, int, int, bool]:
    was, is_moving = before
    booked, still_moves = after
    if is_moving or still_moves or was != booked:
        return 0, 0, max(theirs, booked), True
    return theirs, booked, 0, False


def _keep(
    connection: Connection[Row],
    *,
    side: str,
    connection_key: str,
    asked_at: datetime,
    scope: TargetScope | None,
) -> None:
    values = {
        "side": side,
        "connection_key": connection_key,
        "asked_at": asked_at,
        "entity_code": scope.entity_code if scope else None,
        "month_on": scope.starts_on if scope else None,
    }
    for statement in _KEEP.split("-- then\n"):
        connection.execute(statement, values)
