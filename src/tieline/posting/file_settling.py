"""Ask a target that answers again what was loaded from a file, and settle its lines by what it says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from psycopg import Connection

from tieline.canonical import TimeLineCommand
from tieline.canonical.commands import content_hash
from tieline.kernel.clock import Clock
from tieline.kernel.errors import Refused, UserMistake
from tieline.ledger import book
from tieline.posting import states
from tieline.posting.handing_over import (
    OPEN,
    SETTLED,
    WITHDRAWN,
    GivenLine,
    ImportFile,
    get_file,
    list_lines,
    loader_of,
)
from tieline.posting.loaded import Loaded, match_loaded
from tieline.runtime.database import Database
from tieline.runtime.sql import load
from tieline.sdk import LoadsFiles, StoredLine, WritesTimeLines
from tieline.sdk.directory import Connectors

_GIVEN, _MATCHED, _RELEASED, _DIFFERS = "given", "matched", "released", "differs"
_NOT_ADOPTED = "posting.not_adopted"
_CONFLICT = "posted.conflict"
_OURS_TO_SEND = (states.PLANNED, states.ABSENT, states.WITHDRAWN)
_SETTLE = load("tieline.posting", "settle_given")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one question about a file settled; ``doubled`` lines stand more than once."""

    matched: int = 0
    differs: int = 0
    released: int = 0
    doubled: int = 0
    waiting: int = 0


@dataclass(slots=True, kw_only=True)
class _Found:
    """What was found, and which of it can be asked for by our key from now on."""

    loaded: Loaded
    confirmed: list[StoredLine] = field(default_factory=list)
    not_adopted: list[UUID] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettler:
    """Settle files; every call may be repeated, and a target that does not answer raises."""

    database: Database
    connectors: Connectors
    clock: Clock

    def look(self, *, file: ImportFile, released_by: str | None = None) -> Looked:
        """Ask for every line of a file and record what stands, what does not, and what stands twice.

        ``released_by`` is who says that nobody will load what is left of it.

        :raises TielineError: the target could not be asked; nothing was changed.
        """
        asked_at = self.clock.now()
        lines, found = self._ask(file)
        with self.database.transaction() as connection:
            return self._record(connection, file, lines, found, asked_at, released_by)

    def withdraw(self, *, file: ImportFile, by: str) -> Looked:
        """Take a file back of which nothing stands, after asking.

        :raises TielineError: the target could not be asked.
        :raises UserMistake: something of it stands, or it is no longer open.
        """
        asked_at = self.clock.now()
        lines, found = self._ask(file)
        standing = sum(1 for line in lines if line.business_key not in found.loaded.absent)
        if standing:
            raise UserMistake(
                f"{standing} of {len(lines)} lines of {file.file_name} stand in {file.target_connection}:"
                " they are matched by themselves, and `tieline fallback release` gives the rest free"
            )
        with self.database.transaction() as connection:
            if _lock(connection, file).state != OPEN:
                raise UserMistake(f"{file.file_name} is no longer open")
            looked = self._record(connection, file, lines, found, asked_at, by)
            connection.execute(
                "UPDATE import_file SET state = %s WHERE file_id = %s", (WITHDRAWN, file.file_id)
            )
        return looked

    # -- asking ------------------------------------------------------------------------------------

    def _ask(self, file: ImportFile) -> tuple[tuple[GivenLine, ...], _Found]:
        loader = loader_of(self.connectors, target_connection=file.target_connection)
        with self.database.transaction() as connection:
            lines = list_lines(connection, file_id=file.file_id)
        asked = [line.command(entity_code=file.entity_code) for line in lines]
        stored = loader.find_loaded(entity_code=file.entity_code, lines=asked, since=file.made_at)
        given = {line.business_key for line in lines if line.outcome == _GIVEN}
        # What is settled was given its key then: a line without one is none of it.
        keyless = [each for each in stored if each.business_key is None]
        keyed = [each for each in stored if each.business_key is not None]
        loaded = match_loaded(lines=[line for line in asked if line.business_key in given],
                              found=[*keyed, *keyless])  # fmt: skip
        again = match_loaded(
            lines=[line for line in asked if line.business_key not in given], found=keyed
        )
        found = _Found(loaded=_together(loaded, again))
        self._adopt(loader, file, list(loaded.same.values()), found)
        self._read_back(file, asked, loaded.same, found)
        return lines, found

    def _adopt(
        self, loader: LoadsFiles, file: ImportFile, lines: Sequence[StoredLine], found: _Found
    ) -> None:
        # One that may not be changed holds up no other: the call is halved until it stands alone.
        if not lines:
            return
        try:
            loader.adopt_lines(entity_code=file.entity_code, lines=lines)
        except Refused:
            if len(lines) == 1:
                found.not_adopted.extend(_keys(lines))
                return
            half = len(lines) // 2
            self._adopt(loader, file, lines[:half], found)
            self._adopt(loader, file, lines[half:], found)

    def _read_back(
        self,
        file: ImportFile,
        asked: Sequence[TimeLineCommand],
        same: Mapping[UUID, StoredLine],
        found: _Found,
    ) -> None:
        # A line counts once it answers to its key as every line that was sent does.
        keys = [key for key in same if key not in found.not_adopted]
        if not keys:
            return
        writer = cast(WritesTimeLines, self.connectors.get(connection_key=file.target_connection))
        contents = {line.business_key: line.content() for line in asked}
        answers: dict[UUID, list[StoredLine]] = {}
        for line in writer.read_lines(entity_code=file.entity_code, keys=keys):
            if line.business_key is not None:
                answers.setdefault(line.business_key, []).append(line)
        found.confirmed.extend(
            lines[0]
            for key, lines in answers.items()
            if len(lines) == 1 and dict(lines[0].content()) == contents[key]
        )

    # -- recording ---------------------------------------------------------------------------------

    def _record(
        self,
        connection: Connection[Row],
        file: ImportFile,
        lines: Sequence[GivenLine],
        found: _Found,
        asked_at: datetime,
        released_by: str | None,
    ) -> Looked:
        _lock(connection, file)
        loaded = found.loaded
        given = {line.business_key for line in lines if line.outcome == _GIVEN}
        matched = self._match(connection, file, found, asked_at)
        differing = [key for key in loaded.differing if key in given]
        differs = self._settle(connection, file, _DIFFERS, differing, asked_at, loaded)
        differs += self._settle(
            connection, file, _DIFFERS, found.not_adopted, asked_at, loaded, reason=_NOT_ADOPTED
        )
        absent = [key for key in loaded.absent if key in given]
        released = 0
        if released_by is not None or asked_at > file.valid_until + self._settle_time(
            connection, file
        ):
            released = self._settle(
                connection, file, _RELEASED, absent, asked_at, loaded, released_by=released_by
            )
            _judge_again(connection, absent, file, self.clock.now())
        doubled = _keep_twins(connection, file, lines, loaded, now=self.clock.now())
        waiting = _close_when_settled(connection, file, asked_at)
        return Looked(
            matched=matched, differs=differs, released=released, doubled=doubled, waiting=waiting
        )

    def _match(
        self, connection: Connection[Row], file: ImportFile, found: _Found, asked_at: datetime
    ) -> int:
        confirmed = {line.business_key: line for line in found.confirmed}
        settled = _settle_lines(
            connection, file, _MATCHED, [key for key in confirmed if key], asked_at, found.loaded
        )
        standing = [confirmed[key] for key in settled]
        connection.execute(
            """
            UPDATE effect e SET state = 'CONFIRMED', target_code = k.target_code, reason = NULL,
                stored_hash = k.stored_hash, settled_at = clock_timestamp()
            FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS k (business_key, target_code, stored_hash)
            WHERE e.business_key = k.business_key AND e.state = 'HANDED_OVER'
            """,
            (
                settled,
                [line.target_code for line in standing],
                [content_hash(line.content()) for line in standing],
            ),
        )
        book(
            connection,
            business_keys=settled,
            target_seconds=[line.seconds for line in standing],
            now=self.clock.now(),
            via_file_id=file.file_id,
        )
        return len(settled)

    def _settle(
        self,
        connection: Connection[Row],
        file: ImportFile,
        outcome: str,
        keys: Sequence[UUID],
        asked_at: datetime,
        loaded: Loaded,
        *,
        reason: str = _CONFLICT,
        released_by: str | None = None,
    ) -> int:
        settled = _settle_lines(
            connection, file, outcome, keys, asked_at, loaded, released_by=released_by
        )
        is_released = outcome == _RELEASED
        connection.execute(
            """
            UPDATE effect SET state = %s, reason = %s, due_at = NULL,
                settled_at = CASE WHEN %s THEN NULL ELSE clock_timestamp() END
            WHERE business_key = ANY (%s) AND state = 'HANDED_OVER'
            """,
            (
                states.PLANNED if is_released else states.CONFLICT,
                None if is_released else reason,
                is_released,
                settled,
            ),
        )
        return len(settled)

    def _settle_time(self, connection: Connection[Row], file: ImportFile) -> timedelta:
        # Whoever pressed the button in the last moment may still be waiting for the target.
        declared = self.connectors.capabilities(connection_key=file.target_connection)
        return timedelta(
            seconds=states.settle_seconds(
                connection,
                connection_key=file.target_connection,
                declared=declared.settle_seconds,
            )
        )


def _settle_lines(
    connection: Connection[Row],
    file: ImportFile,
    outcome: str,
    keys: Sequence[UUID],
    asked_at: datetime,
    loaded: Loaded,
    *,
    released_by: str | None = None,
) -> list[UUID]:
    ordered = sorted(keys)
    found_by = [
        None if outcome == _RELEASED else "content" if key in loaded.by_content else "key"
        for key in ordered
    ]
    rows = connection.execute(
        _SETTLE,
        {
            "file_id": file.file_id,
            "outcome": outcome,
            "keys": ordered,
            "found_by": found_by,
            "released_by": released_by,
            "asked_at": asked_at,
            "now": asked_at,
        },
    ).fetchall()
    return sorted(row["business_key"] for row in rows)


def _lock(connection: Connection[Row], file: ImportFile) -> ImportFile:
    connection.execute("SELECT FROM import_file WHERE file_id = %s FOR UPDATE", (file.file_id,))
    return get_file(connection, file_name=str(file.file_id))


def _judge_again(
    connection: Connection[Row], keys: Sequence[UUID], file: ImportFile, now: datetime
) -> None:
    # While a line was in a file its hour may have changed, or its period closed.
    connection.execute(
        """
        INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
        SELECT 'entry:' || e.entry_id, 'file.released', %s, %s FROM effect e
        WHERE e.business_key = ANY (%s) AND e.state = 'PLANNED'
        """,
        (file.file_name, now, list(keys)),
    )


def _keep_twins(
    connection: Connection[Row],
    file: ImportFile,
    lines: Sequence[GivenLine],
    loaded: Loaded,
    *,
    now: datetime,
) -> int:
    """Record what stands more often than it may, and what is single again; return how many do."""
    twins = dict(loaded.doubled)
    for line in lines:
        # Given free, then loaded all the same: one is one too many as long as ours is to be sent.
        is_loaded_late = line.outcome == _RELEASED and line.effect_state in _OURS_TO_SEND
        stored = loaded.same.get(line.business_key) or loaded.differing.get(line.business_key)
        if is_loaded_late and stored is not None:
            twins[line.business_key] = (stored,)
    seconds = {line.business_key: line.seconds for line in lines}
    connection.execute(
        "UPDATE late_twin SET gone_at = %s WHERE is_from_file AND gone_at IS NULL"
        " AND business_key = ANY (%s) AND NOT business_key = ANY (%s)",
        (now, list(seconds), list(twins)),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO late_twin (business_key, target_connection, entity_code, target_codes, seconds,
                                   found_at, is_from_file)
            VALUES (%s, %s, %s, %s, %s, %s, true)
            ON CONFLICT (business_key) DO UPDATE
                SET target_codes = excluded.target_codes, seconds = excluded.seconds, gone_at = NULL,
                    is_from_file = true
            """,
            [
                (
                    key,
                    file.target_connection,
                    file.entity_code,
                    sorted(line.target_code for line in stored),
                    sum(line.seconds for line in stored[1:]) or seconds[key],
                    now,
                )
                for key, stored in sorted(twins.items())
            ],
        )
    return len(twins)


def _close_when_settled(connection: Connection[Row], file: ImportFile, asked_at: datetime) -> int:
    row = connection.execute(
        """
        WITH waiting AS (SELECT count(*)::int AS lines FROM import_file_line
                         WHERE file_id = %(file_id)s AND outcome = 'given')
        UPDATE import_file f SET asked_at = %(asked_at)s,
            state = CASE WHEN f.state = 'open' AND w.lines = 0 THEN %(settled)s ELSE f.state END,
            closed_at = CASE WHEN f.state = 'open' AND w.lines = 0 THEN %(asked_at)s ELSE f.closed_at END,
            content = CASE WHEN w.lines = 0 THEN NULL ELSE f.content END
        FROM waiting w WHERE f.file_id = %(file_id)s RETURNING w.lines
        """,
        {"file_id": file.file_id, "asked_at": asked_at, "settled": SETTLED},
    ).fetchone()
    assert row is not None
    return int(row["lines"])


def _together(loaded: Loaded, again: Loaded) -> Loaded:
    return Loaded(
        same={**loaded.same, **again.same},
        differing={**loaded.differing, **again.differing},
        doubled={**loaded.doubled, **again.doubled},
        absent=loaded.absent | again.absent,
        by_content=loaded.by_content,
    )


def _keys(lines: Collection[StoredLine]) -> list[UUID]:
    return [line.business_key for line in lines if line.business_key is not None]
