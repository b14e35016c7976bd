"""Events are true with their transaction, kept for ever, and delivered in order."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import errors

from tieline.kernel.errors import TryAgain
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.outbox import Event, drain, is_new, publish

pytestmark = pytest.mark.sql
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def tell(database: Database, type_: str, *, subject: str = "1", entity: str | None = "DE") -> None:
    with database.transaction() as connection:
        publish(
            connection,
            type=type_,
            subject_kind="project",
            subject_id=subject,
            entity_code=entity,
            occurred_at=NOW,
            recorded_at=NOW,
            correlation_id="c",
        )


class TestOutbox:
    def test_delivers_each_event_once(self, worker_database: Database) -> None:
        tell(worker_database, "project.active")
        heard: list[Event] = []

        assert drain(worker_database, deliver=heard.append) == 1
        assert drain(worker_database, deliver=heard.append) == 0
        assert [event.type for event in heard] == ["project.active"]

    def test_keeps_the_order_of_a_subject_when_one_fails(self, worker_database: Database) -> None:
        for type_ in ("first", "second"):
            tell(worker_database, type_, subject="1")
        tell(worker_database, "other", subject="2")
        heard: list[str] = []

        def deliver(event: Event) -> None:
            if event.type == "first":
                raise TryAgain("the receiver is away")
            heard.append(event.type)

        drain(worker_database, deliver=deliver)
        assert heard == ["other"]
        with worker_database.transaction() as connection:
            connection.execute("UPDATE outbox SET due_at = clock_timestamp()")
        later: list[str] = []
        drain(worker_database, deliver=lambda event: later.append(event.type))
        assert later == ["first", "second"]

    def test_knows_an_event_it_has_seen(self, worker_database: Database) -> None:
        with worker_database.transaction() as connection:
            answers = [
                is_new(connection, connection_key="hubspot", source_event_id="7") for _ in range(2)
            ]

        assert answers == [True, False]


class TestEvents:
    def test_cannot_be_changed_even_by_their_owner(
        self, worker_database: Database, database: Dsns
    ) -> None:
        tell(worker_database, "hour.posted")

        with (
            psycopg.connect(database.owner) as connection,
            pytest.raises(errors.CheckViolation, match="kept"),
        ):
            connection.execute("UPDATE event SET type = 'other'")

    def test_are_shown_per_entity(self, worker_database: Database, database: Dsns) -> None:
        for entity in ("DE", "FR", None):
            tell(worker_database, "hour.posted", entity=entity)

        with psycopg.connect(database.web) as connection:
            before = connection.execute("SELECT count(*) FROM event").fetchone()
            connection.execute("SELECT set_config('tieline.entities', 'DE', true)")
            after = connection.execute("SELECT entity_code FROM event").fetchall()

        assert before == (0,)
        assert after == [("DE",)]
