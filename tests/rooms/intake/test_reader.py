"""Streams are read beside each other, each by one loader that keeps its lease while pages come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.rooms.casework.hand_made_firm import NOW
from tests.support.target import FixedClock

from tieline.intake import Reader
from tieline.kernel.errors import TryAgain
from tieline.runtime import leases
from tieline.runtime.database import Database
from tieline.runtime.leases import Leases
from tieline.sdk import Page, RawRecord, Translated, Untranslatable
from tieline.services.overview import read_connections
from tieline.services.reading import Reading

_PATIENCE_SECONDS = 20

pytestmark = pytest.mark.sql


@dataclass(kw_only=True)
class _System:
    """A source of two pages that may wait before the first or the second, and keeps in mind what it was asked."""

    asked: list[str] = field(default_factory=list)
    before: Any = None
    between: Any = None

    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        self.asked.append(stream)
        if self.before is not None:
            self.before()
        yield self._page(stream, "1")
        if self.between is not None:
            self.between()
        yield self._page(stream, "2")

    def _page(self, stream: str, ref: str) -> Page:
        record = RawRecord(object=stream, source_ref=ref, body=b"what nobody reads", source_at=None)
        return Page(records=(record,), cursor=ref, total=None, is_last=ref == "2")

    def translate(self, *, record: RawRecord) -> Translated | Untranslatable:
        return Untranslatable(reason="time.field_missing", message="no person", field="user")


@dataclass(kw_only=True)
class _Town:
    systems: dict[str, _System]

    def get(self, *, connection_key: str) -> _System:
        return self.systems[connection_key]

    def capabilities(self, *, connection_key: str) -> Any:
        return type("Told", (), {"translator": 1})


def _reading(database: Database, town: _Town, *, holder: str) -> Reading:
    clock = FixedClock(NOW)
    return Reading(
        database=database,
        connectors=cast(Any, town),
        reader=Reader(
            database=database,
            connectors=cast(Any, town),
            leases=Leases(database=database, holder=holder),
            clock=clock,
            material_key=b"key",
            on_batch=lambda _connection, _batch_id, _correlation_id: None,
        ),
        time_validation=cast(Any, None),
        checks=cast(Any, None),
        clock=clock,
    )


def _connect(database: Database, *keys: str) -> None:
    with database.transaction() as connection:
        for key in keys:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode, config)"
                " VALUES (%s, 'filedrop', 'hr', 'act', '{\"streams\": [\"people\", \"teams\"]}')",
                (key,),
            )


def _landed(database: Database) -> list[tuple[str, str, int]]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT connection_key, stream, sum(rows) AS rows FROM intake_batch GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
    return [(row["connection_key"], row["stream"], int(row["rows"])) for row in rows]


def _told(database: Database) -> tuple[Any, Any]:
    with database.transaction() as connection:
        (told,) = read_connections(connection)
    return told["read_at"], told["last_error"]


class TestReadingBesideEachOther:
    def test_does_not_wait_for_a_system_that_is_slow_nor_ask_it_twice(
        self, worker_database: Database
    ) -> None:
        is_asked, may_answer = threading.Event(), threading.Event()

        def hesitate() -> None:
            is_asked.set()
            assert may_answer.wait(_PATIENCE_SECONDS)

        town = _Town(systems={"a-slow": _System(between=hesitate), "b-quick": _System()})
        _connect(worker_database, *town.systems)
        waiting = threading.Thread(
            target=_reading(worker_database, town, holder="one").poll_due, daemon=True
        )
        waiting.start()
        assert is_asked.wait(_PATIENCE_SECONDS)

        _reading(worker_database, town, holder="other").poll_due()

        assert _landed(worker_database) == [("b-quick", "people", 2), ("b-quick", "teams", 2)]
        assert town.systems["a-slow"].asked == ["people"]
        may_answer.set()
        waiting.join(_PATIENCE_SECONDS)
        assert town.systems["a-slow"].asked == ["people", "teams"]
        assert town.systems["b-quick"].asked == ["people", "teams"]


class TestALoader:
    def test_that_lost_its_lease_reads_no_further(
        self, worker_database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lose() -> None:
            # As for a process that stood still for longer than its lease.
            later = time.monotonic_ns() + 3600 * 10**9
            monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic_ns=lambda: later))
            with worker_database.transaction() as connection:
                connection.execute("UPDATE lease SET epoch = epoch + 1, holder = 'other'")

        town = _Town(systems={"a": _System()})
        _connect(worker_database, "a")
        reading = _reading(worker_database, town, holder="one")
        kept = reading.reader.poll(
            connection_key="a", stream="people", is_full=True, correlation_id="x"
        )
        town.systems["a"].between = lose

        lost = reading.reader.poll(
            connection_key="a", stream="teams", is_full=True, correlation_id="x"
        )

        assert (kept.rows, kept.problem) == (2, "")
        assert (lost.rows, lost.is_refused) == (1, False)
        assert "the lease intake:a:teams ran out" in lost.problem

    def test_says_what_keeps_it_from_what_was_never_read(self, worker_database: Database) -> None:
        def refuse() -> None:
            raise TryAgain("payroll answered 503")

        town = _Town(systems={"a": _System(before=refuse)})
        _connect(worker_database, "a")
        reading = _reading(worker_database, town, holder="one")

        reading.poll_due()
        assert _told(worker_database) == (None, "call.try_again: payroll answered 503")
        assert town.systems["a"].asked == ["people", "teams"]

        town.systems["a"].before = None
        reading.poll_due()
        assert _told(worker_database) == (NOW, None)
        assert _landed(worker_database) == [("a", "people", 2), ("a", "teams", 2)]
