"""Read streams page by page into batches; one loader per connection and stream holds the lease."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from tieline.intake.landing import LandingPage, abandon, land
from tieline.kernel.clock import Clock
from tieline.kernel.errors import AskPerson, HeldBack, TielineError, TryAgain
from tieline.runtime.budget import repeated_calls
from tieline.runtime.database import Database
from tieline.runtime.leases import Held, Leases
from tieline.sdk import (
    Page,
    RawRecord,
    Reads,
    ReadsMany,
    ReadsOne,
    Translated,
    Translates,
    Untranslatable,
)
from tieline.sdk.directory import Connectors

_LEASE_SECONDS = 60
_DIRTY_RECORDS_MAX = 100
# So many records of small pages land together; a page that is as large lands alone.
_TOGETHER_MIN = 2000
_HINTS = "dirty"
# Clocks differ; a record further ahead than this tells no instant.
_AHEAD_MAX = timedelta(days=1)
HELD_BY_ANOTHER = "another loader holds the stream"
# How the lease of a stream begins; the connection and the stream follow.
READS = "intake:"
OnBatch = Callable[[Any, int, str], None]
OnRecord = Callable[[RawRecord, Translated | Untranslatable], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """What one pass over a stream brought; ``problem`` is '' when it read to its end.

    ``is_refused`` says that a person must act before it can be read again.
    """

    rows: int
    versions: int
    untranslated: int
    otherwise: int
    batch_ids: tuple[int, ...]
    seen: frozenset[tuple[str, str]]
    problem: str
    is_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Poll streams and read dirty records of configured connections.

    ``on_batch`` is called with (connection, batch id, correlation id) after a batch has landed,
    so that what must follow is scheduled.
    """

    database: Database
    connectors: Connectors
    leases: Leases
    clock: Clock
    material_key: bytes
    on_batch: OnBatch

    def poll(
        self,
        *,
        connection_key: str,
        stream: str,
        is_full: bool,
        correlation_id: str,
        on_record: OnRecord | None = None,
    ) -> ReadResult:
        """Read a stream from its cursor, or whole; a broken read keeps what landed and says why.

        ``on_record`` is shown every record as the source tells it, whether it is new or not.
        """
        name = f"{READS}{connection_key}:{stream}"
        with self.leases.held(name=name, ttl_seconds=_LEASE_SECONDS) as held:
            if held is None:
                return _nothing(HELD_BY_ANOTHER)
            return self._read(held, connection_key, stream, is_full, correlation_id, on_record)

    def read_dirty(self, *, connection_key: str, correlation_id: str) -> ReadResult:
        """Read the records that hints marked; a mark is removed by the read that serves it."""
        name = f"{READS}{connection_key}:{_HINTS}"
        with self.leases.held(name=name, ttl_seconds=_LEASE_SECONDS) as held:
            if held is None:
                return _nothing(HELD_BY_ANOTHER)
            return self._read_marked(connection_key, correlation_id)

    def _read_marked(self, connection_key: str, correlation_id: str) -> ReadResult:
        with self.database.transaction() as connection:
            marks = connection.execute(
                """
                SELECT object, source_ref, marked_at FROM dirty_mark
                WHERE connection_key = %s ORDER BY marked_at LIMIT %s
                """,
                (connection_key, _DIRTY_RECORDS_MAX),
            ).fetchall()
        if not marks:
            return _nothing("")
        source = self.connectors.get(connection_key=connection_key)
        abandon(self.database, connection_key=connection_key, stream=_HINTS)
        refs: dict[str, list[str]] = {}
        for mark in marks:
            refs.setdefault(mark["object"], []).append(mark["source_ref"])
        records = [
            record
            for name, wanted in refs.items()
            for record in _read_each(source, object_name=name, refs=wanted)
        ]
        result = self._land(connection_key, _HINTS, "hint", records, None, correlation_id)
        with self.database.transaction() as connection:
            for mark in marks:
                connection.execute(
                    """
                    DELETE FROM dirty_mark
                    WHERE connection_key = %s AND object = %s AND source_ref = %s AND marked_at <= %s
                    """,
                    (connection_key, mark["object"], mark["source_ref"], mark["marked_at"]),
                )
        return result

    def _read(
        self,
        held: Held,
        connection_key: str,
        stream: str,
        is_full: bool,
        correlation_id: str,
        on_record: OnRecord | None,
    ) -> ReadResult:
        standing, is_repeat = self._cursor(connection_key, stream)
        cursor = None if is_full else standing
        total = _nothing("")
        kind = "full" if is_full else "poll"
        abandon(self.database, connection_key=connection_key, stream=stream)
        try:
            source = cast(Reads, self.connectors.get(connection_key=connection_key))
            with repeated_calls(is_repeat=is_repeat):
                pages = source.pages(stream=stream, cursor=cursor, is_full=is_full)
                for page in _gathered(_while_held(held, pages)):
                    landed = self._land(
                        connection_key,
                        stream,
                        kind,
                        list(page.records),
                        page.cursor,
                        correlation_id,
                        on_record,
                    )
                    total = _sum(total, landed)
        except HeldBack as error:
            # The system said nothing: what it said before is still what is wrong.
            return replace(total, problem=str(error))
        except (TryAgain, AskPerson) as error:
            self._note_problem(connection_key, stream, error)
            return replace(total, problem=str(error), is_refused=isinstance(error, AskPerson))
        return total

    def _land(
        self,
        connection_key: str,
        stream: str,
        kind: str,
        records: list[RawRecord],
        cursor: str | None,
        correlation_id: str,
        on_record: OnRecord | None = None,
    ) -> ReadResult:
        def translate(record: RawRecord) -> Translated | Untranslatable:
            result = connector.translate(record=record)
            if on_record is not None:
                on_record(record, result)
            return result

        connector = cast(Translates, self.connectors.get(connection_key=connection_key))
        now = self.clock.now()
        records = [_dated(record, now=now) for record in records]
        page = LandingPage(
            connection_key=connection_key,
            source_epoch=self._source_epoch(connection_key),
            stream=stream,
            kind=kind,
            records=records,
            cursor=cursor,
            correlation_id=correlation_id,
        )
        landed = land(
            self.database,
            page=page,
            translate=translate,
            translator=self.connectors.capabilities(connection_key=connection_key).translator,
            material_key=self.material_key,
            now=now,
        )
        with self.database.transaction() as connection:
            self.on_batch(connection, landed.batch_id, correlation_id)
        return ReadResult(
            rows=landed.rows,
            versions=landed.versions,
            untranslated=landed.untranslated,
            otherwise=landed.otherwise,
            batch_ids=(landed.batch_id,),
            seen=frozenset((record.object, record.source_ref) for record in records),
            problem="",
        )

    def _cursor(self, connection_key: str, stream: str) -> tuple[str | None, bool]:
        """Return how far a stream was read, and whether the last read failed."""
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT cursor, last_error IS NOT NULL AS is_repeat FROM stream_cursor"
                " WHERE connection_key = %s AND stream = %s",
                (connection_key, stream),
            ).fetchone()
        return (row["cursor"], row["is_repeat"]) if row else (None, False)

    def _source_epoch(self, connection_key: str) -> int:
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT source_epoch FROM connection WHERE connection_key = %s", (connection_key,)
            ).fetchone()
        if row is None:
            raise LookupError(f"no connection is called {connection_key}")
        return int(row["source_epoch"])

    def _note_problem(self, connection_key: str, stream: str, error: TielineError) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                """
                INSERT INTO stream_cursor (connection_key, stream, last_error) VALUES (%s, %s, %s)
                ON CONFLICT (connection_key, stream) DO UPDATE SET last_error = excluded.last_error
                """,
                (connection_key, stream, f"{error.code}: {error}"),
            )


def _read_each(source: Any, *, object_name: str, refs: Sequence[str]) -> Sequence[RawRecord]:
    """Read so many records of one object, at once where the system can."""
    if hasattr(source, "read_many"):
        return cast(ReadsMany, source).read_many(object=object_name, source_refs=refs)
    one = cast(ReadsOne, source)
    alone = (one.read_one(object=object_name, source_ref=ref) for ref in refs)
    return [record for record in alone if record is not None]


def _dated(record: RawRecord, *, now: datetime) -> RawRecord:
    """Let nothing be from the future: what its source says after it would be older for ever, and not be believed."""
    if record.source_at is None or record.source_at <= now + _AHEAD_MAX:
        return record
    return replace(record, source_at=now)


def _while_held(held: Held, pages: Iterable[Page]) -> Iterator[Page]:
    """Pass pages on, and give up where another loader may have the stream by now."""
    for page in pages:
        held.check()
        yield page


def _gathered(pages: Iterable[Page]) -> Iterator[Page]:
    """Put small pages together, for what follows works in sets; what came before a break is given first."""
    held: Page | None = None
    try:
        for page in pages:
            held = page if held is None else _joined(held, page)
            if len(held.records) >= _TOGETHER_MIN:
                yield held
                held = None
    except (TryAgain, AskPerson):
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held


def _joined(one: Page, two: Page) -> Page:
    return replace(two, records=(*one.records, *two.records))


def _nothing(problem: str) -> ReadResult:
    return ReadResult(
        rows=0,
        versions=0,
        untranslated=0,
        otherwise=0,
        batch_ids=(),
        seen=frozenset(),
        problem=problem,
    )


def _sum(one: ReadResult, two: ReadResult) -> ReadResult:
    return ReadResult(
        rows=one.rows + two.rows,
        versions=one.versions + two.versions,
        untranslated=one.untranslated + two.untranslated,
        otherwise=one.otherwise + two.otherwise,
        batch_ids=one.batch_ids + two.batch_ids,
        seen=one.seen | two.seen,
        problem=one.problem or two.problem,
    )
