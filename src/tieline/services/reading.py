"""Read every connection by polling alone: cursors, dirty marks, and complete reads for deletes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import structlog
from psycopg import Connection

from tieline.casework import close_case, keep_cases, list_cases, open_case
from tieline.intake import HELD_BY_ANOTHER, READS, Reader, ReadResult, confirm_deletes
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import AskPerson, TryAgain, UserMistake
from tieline.reconciliation import AskedHours
from tieline.runtime.database import Database
from tieline.runtime.disk import FULL_PERCENT, LowDisk, find_low_disk
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import PROVISIONING, Again, Done, Outcome, Steps, schedule
from tieline.sdk import ReadsOne
from tieline.sdk.directory import Connectors
from tieline.services.conservation_checks import ConservationChecks
from tieline.services.project_provisioning import DEAL_OBJECT, plan_new_deals, schedule_plans
from tieline.services.restoring import stream_was_read
from tieline.services.time_validation import TimeValidation

_POLL_SECONDS = 60
_FULL_READ_SECONDS = 3600
_TIME_OBJECT = "time_entries"
# More than these are looked at with everything else.
_DEALS_ALONE_MAX = 100
DISK_LOW = "intake.disk_low"
READ_MARKED = "read_marked"
KEEP_REGISTER = "keep_register"
EVERYTHING = "all"
_OTHERWISE = "read.understood_otherwise"

_log = structlog.get_logger("tieline.reading")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The scheduled jobs that bring records in."""

    database: Database
    connectors: Connectors
    reader: Reader
    time_validation: TimeValidation
    checks: ConservationChecks
    clock: Clock
    # The folders whose disks must not run full; see ``watch_disks``.
    folders: Sequence[Path] = ()

    def poll_due(self) -> None:
        """Read each stream whose interval has passed, of connections that nobody else reads just now.

        Several do this beside each other: a system that answers slowly keeps nobody from reading the
        others. Nothing while a disk runs full: ``watch_disks`` says so.
        """
        if find_low_disk(self.folders) is not None:
            return
        passed: list[tuple[str, str]] = []
        while (due := self._next_due(passed)) is not None:
            passed.append(due)
            self._poll(*due, is_full=False)

    def read_what_is_marked(self) -> None:
        """Read every record that a hint marked and nobody read at once."""
        if find_low_disk(self.folders) is not None:
            return
        for row in self._marked_connections():
            self._read_dirty(row["connection_key"])

    def read_marked(self, steps: Steps, subject: str) -> Outcome:
        """Read at once what hints marked at a connection; the job reads what is left."""
        if find_low_disk(self.folders) is not None:
            return Done()
        is_held = steps.run("read", lambda: self._read_dirty(subject) == HELD_BY_ANOTHER)
        return Again(due_in_seconds=1) if is_held else Done()

    def read_whole(self) -> None:
        """Read the time streams whole where that is due, and find what is gone."""
        if find_low_disk(self.folders) is not None:
            return
        for row in self._due_whole():
            self._find_deletes(row["connection_key"])

    def poll_now(self, *, connection_key: str, is_full: bool) -> list[ReadResult]:
        """Read every stream of a connection at once, as a person asked.

        :raises UserMistake: a disk is too full for it.
        """
        low = find_low_disk(self.folders)
        if low is not None:
            raise UserMistake(f"nothing is read while {low}")
        streams = self._streams(connection_key)
        return [self._poll(connection_key, stream, is_full=is_full) for stream in streams]

    def watch_disks(self) -> None:
        """Let an incident stand while a disk is too full to read more."""
        low = find_low_disk(self.folders)
        with self.database.transaction() as connection:
            keep_cases(
                connection,
                requests=[] if low is None else [_disk_low(low)],
                reasons=(DISK_LOW,),
                now=self.clock.now(),
                correlation_id="disk",
            )

    def _poll(self, connection_key: str, stream: str, *, is_full: bool) -> ReadResult:
        correlation_id, began_at = new_correlation_id(), self.clock.now()
        asked = AskedHours() if is_full and stream == _TIME_OBJECT else None
        result = self.reader.poll(
            connection_key=connection_key,
            stream=stream,
            is_full=is_full,
            correlation_id=correlation_id,
            on_record=None if asked is None else asked.note,
        )
        self._note(connection_key, stream, result, is_full=is_full)
        if stream != _TIME_OBJECT:
            self._follow(connection_key, result, correlation_id)
        if asked is not None and not result.problem:
            self.checks.source_was_read(
                connection_key=connection_key,
                asked=asked,
                batch_ids=result.batch_ids,
                began_at=began_at,
            )
        return result

    def _read_dirty(self, connection_key: str) -> str:
        """Read what hints marked; return what kept it from being read, or ''."""
        correlation_id = new_correlation_id()
        try:
            result = self.reader.read_dirty(
                connection_key=connection_key, correlation_id=correlation_id
            )
        except (TryAgain, AskPerson) as error:
            _log.info("reading.hint_waits", connection_key=connection_key, why=str(error))
            return str(error)
        self._follow(connection_key, result, correlation_id)
        return result.problem

    def _follow(self, connection_key: str, result: ReadResult, correlation_id: str) -> None:
        """Let clients, people and plans follow at once what was new."""
        if not result.versions:
            return
        ready = self._plan_alone(connection_key, result)
        with self.database.transaction() as connection:
            if ready is None:
                schedule(
                    connection, kind=KEEP_REGISTER, subject=EVERYTHING, work_class=PROVISIONING,
                    correlation_id=correlation_id,
                )  # fmt: skip
            else:
                schedule_plans(connection, ready=ready)

    def _plan_alone(self, connection_key: str, result: ReadResult) -> Mapping[UUID, str] | None:
        """Plan a few deals that were read and nothing beside; None where a look at everything must follow."""
        is_of_deals = all(name == DEAL_OBJECT for name, _ in result.seen)
        if not is_of_deals or len(result.seen) > _DEALS_ALONE_MAX:
            return None
        deals = frozenset((connection_key, ref) for _, ref in result.seen)
        return plan_new_deals(self.database, deals=deals, now=self.clock.now())

    def _find_deletes(self, connection_key: str) -> None:
        result = self._poll(connection_key, _TIME_OBJECT, is_full=True)
        if result.problem:
            return
        correlation_id = new_correlation_id()
        source = cast(ReadsOne, self.connectors.get(connection_key=connection_key))
        try:
            found = confirm_deletes(
                self.database,
                connection_key=connection_key,
                object=_TIME_OBJECT,
                seen=result.seen,
                is_gone=lambda ref: source.read_one(object=_TIME_OBJECT, source_ref=ref) is None,
                now=self.clock.now(),
                correlation_id=correlation_id,
            )
        except (TryAgain, AskPerson) as error:
            _log.info("reading.deletes_wait", connection_key=connection_key, why=str(error))
            return
        with self.database.transaction() as connection:
            if found.incident is None:
                _close_healed(
                    connection,
                    reason="intake.too_many_missing",
                    key=f"{connection_key}:{_TIME_OBJECT}",
                    now=self.clock.now(),
                )
            else:
                open_case(
                    connection,
                    request=found.incident,
                    now=self.clock.now(),
                    correlation_id=correlation_id,
                )
            if found.batch_id is not None:
                self.time_validation.batch_landed(connection, found.batch_id, correlation_id)
            connection.execute(
                "UPDATE stream_cursor SET cursor = %s, read_at = %s"
                " WHERE connection_key = %s AND stream = %s",
                ("", self.clock.now(), connection_key, f"{_TIME_OBJECT}#whole"),
            )

    def _note(self, connection_key: str, stream: str, result: ReadResult, *, is_full: bool) -> None:
        # A stream that stays unreadable is one case, which closes itself with the next good read.
        key = f"{connection_key}:{stream}"
        now = self.clock.now()
        with self.database.transaction() as connection:
            if result.is_refused:
                open_case(
                    connection,
                    request=_refused(key, result.problem),
                    now=now,
                    correlation_id=key,
                )
            elif not result.problem:
                stream_was_read(connection, connection_key=connection_key, stream=stream)
                _close_healed(connection, reason="connection.refused", key=key, now=now)
            if result.otherwise:
                open_case(
                    connection,
                    request=_otherwise(key, result.otherwise),
                    now=now,
                    correlation_id=key,
                )
            elif is_full and not result.problem:
                _close_healed(connection, reason=_OTHERWISE, key=key, now=now)

    def _streams(self, connection_key: str) -> list[str]:
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT config FROM connection WHERE connection_key = %s", (connection_key,)
            ).fetchone()
        if row is None:
            raise LookupError(f"no connection is called {connection_key}")
        return list(row["config"].get("streams", ()))

    def _next_due(self, passed: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
        """Return the connection and stream that wait longest and are not among ``passed``."""
        with self.database.transaction() as connection:
            row = connection.execute(
                """
                SELECT c.connection_key, s.stream
                FROM connection c
                CROSS JOIN LATERAL jsonb_array_elements_text(c.config -> 'streams')
                     WITH ORDINALITY s (stream, place)
                LEFT JOIN stream_cursor k ON k.connection_key = c.connection_key AND k.stream = s.stream
                WHERE NOT c.paused
                  AND (k.read_at IS NULL OR k.read_at + make_interval(secs =>
                       coalesce((c.config ->> 'poll_seconds')::int, %(seconds)s)) <= %(now)s)
                  AND NOT EXISTS (
                      SELECT FROM unnest(%(keys)s::text[], %(streams)s::text[]) p (key, stream)
                      WHERE p.key = c.connection_key AND p.stream = s.stream)
                  AND NOT EXISTS (
                      SELECT FROM lease l
                      WHERE starts_with(l.name, %(reads)s || c.connection_key || ':')
                        AND l.until > clock_timestamp())
                ORDER BY k.read_at NULLS FIRST, c.connection_key, s.place LIMIT 1
                """,
                {
                    "seconds": _POLL_SECONDS,
                    "now": self.clock.now(),
                    "keys": [key for key, _ in passed],
                    "streams": [stream for _, stream in passed],
                    "reads": READS,
                },
            ).fetchone()
        return None if row is None else (row["connection_key"], row["stream"])

    def _due_whole(self) -> list[Row]:
        with self.database.transaction() as connection:
            return connection.execute(
                """
                INSERT INTO stream_cursor (connection_key, stream, cursor, read_at)
                SELECT c.connection_key, %(object)s || '#whole', '', %(now)s FROM connection c
                WHERE c.kind = 'time' AND c.system <> 'filedrop' AND NOT c.paused
                ON CONFLICT (connection_key, stream) DO UPDATE SET read_at = excluded.read_at
                WHERE stream_cursor.read_at + make_interval(secs => coalesce((
                    SELECT (config ->> 'full_read_seconds')::int FROM connection c
                    WHERE c.connection_key = stream_cursor.connection_key), %(seconds)s)) <= %(now)s
                RETURNING connection_key
                """,
                {"object": _TIME_OBJECT, "now": self.clock.now(), "seconds": _FULL_READ_SECONDS},
            ).fetchall()

    def _marked_connections(self) -> list[Row]:
        with self.database.transaction() as connection:
            return connection.execute(
                "SELECT DISTINCT d.connection_key FROM dirty_mark d JOIN connection c USING (connection_key)"
                " WHERE NOT c.paused"
            ).fetchall()


def _disk_low(low: LowDisk) -> CaseRequest:
    return CaseRequest(
        reason=DISK_LOW,
        owner_queue="integration",
        thing_kind="machine",
        thing_key=str(low.folder),
        entity_code=None,
        members=(CaseMember(kind="disk", key=str(low.folder)),),
        details={
            "problem": f"nothing more is read from {FULL_PERCENT} % on: a disk of this machine is too full",
            "fix": f"Make room on the disk of {low.folder}: old logs and dumps first. Reading goes on by"
            " itself.",
        },
        is_incident=True,
    )


def _refused(key: str, problem: str) -> CaseRequest:
    return CaseRequest(
        reason="connection.refused",
        owner_queue="integration",
        thing_kind="stream",
        thing_key=key,
        entity_code=None,
        members=(CaseMember(kind="stream", key=key),),
        details={"problem": problem},
    )


def _otherwise(key: str, hours: int) -> CaseRequest:
    return CaseRequest(
        reason=_OTHERWISE,
        owner_queue="integration",
        thing_kind="stream",
        thing_key=key,
        entity_code=None,
        members=(CaseMember(kind="stream", key=key),),
        details={
            "problem": f"this release reads {hours} hours otherwise than they were read before;"
            " they stand as they stood: look at what a replay would change"
        },
    )


def _close_healed(connection: Connection[Row], *, reason: str, key: str, now: datetime) -> None:
    for case in list_cases(connection, reason=reason):
        if case.thing_key == key:
            close_case(connection, case_id=case.case_id, because="healed", now=now)
