"""What follows when a backup was restored: read on, ask what stands, link it, and only then send.

reading -> every source is read to its end and judged; nothing is planned or sent
asking  -> every hour is asked about in its target, under every key it may have been posted with
watching -> sending goes on; what turns up late is asked about before it is sent
over    -> a person says that nothing of that time is to come any more
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import structlog
from psycopg import Connection

from tieline.casework import keep_cases
from tieline.governance import record_audit, set_anchor_aside
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TielineError, UserMistake
from tieline.posting.restoring import (
    ASKING,
    OVER,
    READING,
    WATCHING,
    Relinker,
    Restoration,
    find_restoration,
)
from tieline.runtime.database import Database
from tieline.runtime.identity import note_position, why_restored
from tieline.sdk.directory import Connectors

UNLINKED = "posting.restored_unlinked"
_MEMBERS_MAX = 500
_log = structlog.get_logger("tieline.restoring")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredWrite:
    """One record that a target holds and the restored database did not know, or the other way round."""

    target_connection: str
    entity_code: str
    noun: str
    target_code: str
    business_key: str
    connection_key: str
    source_ref: str
    effect_no: int
    seconds: int | None
    outcome: str
    found_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """Follow a restore up, as far as the sources and targets allow it now."""

    database: Database
    connectors: Connectors
    clock: Clock
    home: Path

    def follow_up(self) -> None:
        """Take the next step of a restore that is being followed up; note where the log stands."""
        with self.database.transaction() as connection:
            _note(connection, home=self.home)
            restoration = find_restoration(connection)
        if restoration is None:
            return
        try:
            self._step(restoration)
        except TielineError as error:
            _log.info("restore.waits", phase=restoration.phase, why=str(error))
        with self.database.transaction() as connection:
            _keep_cases(connection, restoration, now=self.clock.now())

    def _step(self, restoration: Restoration) -> None:
        relinker = Relinker(database=self.database, connectors=self.connectors, clock=self.clock)
        number = restoration.restoration_id
        match restoration.phase:
            case "reading":
                with self.database.transaction() as connection:
                    if not waits_for(connection, restoration=restoration):
                        _enter(connection, number, ASKING, now=self.clock.now())
            case "asking":
                asked = relinker.ask_all(restoration_id=number)
                _log.info("restore.asked", entries=asked)
                with self.database.transaction() as connection:
                    _enter(connection, number, WATCHING, now=self.clock.now())
            case _:
                relinker.ask_late(restoration_id=number)


def notice(database: Database, *, home: Path, now: datetime) -> str | None:
    """Begin to follow a restore up when the database shows that it is a restored one."""
    try:
        with database.transaction() as connection:
            because = why_restored(connection, home=home)
            if because is not None:
                begin(connection, because=because, by="tieline", home=home, now=now)
            _note(connection, home=home)
    except psycopg.errors.InsufficientPrivilege:
        _log.warning("restore.not_noticed", why="the server does not tell its own identity")
        return None
    return because


def _note(connection: Connection[Row], *, home: Path) -> None:
    try:
        note_position(connection, home=home)
    except OSError as error:
        # A full disk: an older place in the log is noted, which is a place all the same.
        _log.warning("restore.place_not_noted", why=error.strerror)


def begin(
    connection: Connection[Row], *, because: str, by: str, home: Path, now: datetime
) -> Restoration:
    """Send nothing from now on until sources and targets were asked; again while that lasts, nothing new."""
    standing = find_restoration(connection)
    if standing is not None and standing.phase != WATCHING:
        return standing
    if standing is not None:
        _enter(connection, standing.restoration_id, OVER, now=now, by=by)
    connection.execute(
        "INSERT INTO restoration (because, begun_by, begun_at) VALUES (%s, %s, %s)",
        (because, by, now),
    )
    # Every stream is due at once.
    connection.execute(
        "UPDATE stream_cursor SET read_at = '1970-01-01T00:00:00Z' WHERE stream NOT LIKE '%#whole'"
    )
    begun = find_restoration(connection)
    assert begun is not None
    # The chain of the audit is shorter now for a known reason; the row says where it had come to.
    noted = set_anchor_aside(home)
    record_audit(
        connection,
        actor=by,
        action="restore.begun",
        object=f"restoration:{begun.restoration_id}",
        entity_code=None,
        reason=because,
        now=now,
        data={} if noted is None else {"audit_anchor": str(noted)},
    )
    _log.warning("restore.begun", because=because)
    return begun


def end(connection: Connection[Row], *, by: str, reason: str, now: datetime) -> None:
    """Ask no more before the first sending of an hour.

    :raises UserMistake: no restore is followed up, or it has not come so far.
    """
    restoration = find_restoration(connection)
    if restoration is None:
        raise UserMistake("no restore is being followed up")
    if restoration.phase != WATCHING:
        raise UserMistake("the targets have not all been asked yet: see `tieline restored`")
    left = [
        each for each in list_writes(connection, restoration=restoration) if not each.settled_at
    ]
    if left:
        raise UserMistake(f"{len(left)} records are not settled: see `tieline restored`")
    _enter(connection, restoration.restoration_id, OVER, now=now, by=by)
    record_audit(
        connection,
        actor=by,
        action="restore.ended",
        object=f"restoration:{restoration.restoration_id}",
        entity_code=None,
        reason=reason,
        now=now,
    )


def get_newest(connection: Connection[Row]) -> Restoration | None:
    """Return the restore that is followed up, or the last one that was; None when there was none."""
    row = connection.execute(
        "SELECT restoration_id, phase, because, begun_by, begun_at, asked_at, ended_by, ended_at"
        " FROM restoration ORDER BY restoration_id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Restoration(**row)


def list_writes(
    connection: Connection[Row], *, restoration: Restoration
) -> tuple[RestoredWrite, ...]:
    """Return what targets hold and the restored database did not know, and what they hold no more."""
    rows = connection.execute(
        """
        SELECT target_connection, entity_code, noun, target_code, business_key::text, connection_key, source_ref,
               effect_no, seconds, outcome, found_at, settled_at
        FROM restored_write WHERE restoration_id = %s
        ORDER BY target_connection, entity_code, noun, source_ref, effect_no
        """,
        (restoration.restoration_id,),
    ).fetchall()
    return tuple(RestoredWrite(**row) for row in rows)


def waits_for(connection: Connection[Row], *, restoration: Restoration) -> tuple[str, ...]:
    """Name what must be read or judged before a target is asked."""
    if restoration.phase != READING:
        return ()
    unread = connection.execute(
        """
        SELECT c.connection_key || ' ' || s.stream AS name
        FROM connection c CROSS JOIN LATERAL jsonb_array_elements_text(c.config -> 'streams') s (stream)
        WHERE NOT c.paused AND NOT EXISTS (
            SELECT FROM restored_read r WHERE r.restoration_id = %s
              AND r.connection_key = c.connection_key AND r.stream = s.stream)
        ORDER BY 1
        """,
        (restoration.restoration_id,),
    ).fetchall()
    if unread:
        return tuple(row["name"] for row in unread)
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM intake_batch WHERE state = 'landed')"
        " OR EXISTS (SELECT FROM rejudge) AS waits"
    ).fetchone()
    assert row is not None
    return ("judging",) if row["waits"] else ()


def stream_was_read(connection: Connection[Row], *, connection_key: str, stream: str) -> None:
    """Note that a stream was read to its end since the restore."""
    connection.execute(
        "INSERT INTO restored_read SELECT restoration_id, %s, %s FROM restoration WHERE phase = 'reading'"
        " ON CONFLICT DO NOTHING",
        (connection_key, stream),
    )


def _enter(
    connection: Connection[Row], number: int, phase: str, *, now: datetime, by: str | None = None
) -> None:
    connection.execute(
        """
        UPDATE restoration SET phase = %(phase)s,
            asked_at = CASE WHEN %(phase)s = 'watching' THEN %(now)s ELSE asked_at END,
            ended_at = CASE WHEN %(phase)s = 'over' THEN %(now)s END, ended_by = %(by)s
        WHERE restoration_id = %(number)s
        """,
        {"phase": phase, "now": now, "by": by, "number": number},
    )


def _keep_cases(connection: Connection[Row], restoration: Restoration, *, now: datetime) -> None:
    """Let a case stand for each place where a line stands that nobody can link by itself."""
    places: dict[tuple[str, str], list[RestoredWrite]] = {}
    for each in list_writes(connection, restoration=restoration):
        if each.settled_at is None:
            places.setdefault((each.target_connection, each.entity_code), []).append(each)
    keep_cases(
        connection,
        requests=[_request(place, found) for place, found in sorted(places.items())],
        reasons=(UNLINKED,),
        now=now,
        correlation_id="restored",
    )


def _request(place: tuple[str, str], found: Sequence[RestoredWrite]) -> CaseRequest:
    target, entity_code = place
    return CaseRequest(
        reason=UNLINKED,
        owner_queue="finance",
        thing_kind="target",
        thing_key=f"{target}:{entity_code}",
        entity_code=entity_code,
        members=tuple(
            CaseMember(
                kind="line",
                key=f"{each.source_ref}: {each.target_code} ({each.outcome})",
                seconds=each.seconds,
            )
            for each in found[:_MEMBERS_MAX]
        ),
        details={
            "problem": f"{len(found)} lines stand in {target} that the restored database does not know and"
            " that differ from what the source asks for now",
            "fix": "Settle what holds the hours, or correct or delete the lines there: they are asked about"
            " again, and nothing of these hours is sent before.",
        },
    )
