"""Events are true with their transaction, kept for ever, and delivered in order to who hears them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from tieline.kernel.errors import OutcomeUnknown, Refused, TielineError
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.outbox import (
    Event,
    drain,
    is_new,
    list_receivers,
    publish,
    send_again,
)

pytestmark = pytest.mark.sql
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def hears(
    database: Database, key: str, *, mode: str = "act", config: Mapping[str, Any] | None = None
) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO connection (connection_key, system, kind, mode, config)"
            " VALUES (%s, 'webhook', 'events', %s, %s)",
            (key, mode, Jsonb(dict(config or {}))),
        )


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


def heard_by(database: Database, key: str) -> list[str]:
    heard: list[str] = []
    drain(database, connection_key=key, deliver=lambda event: heard.append(event.type))
    return heard


def at_once(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("UPDATE outbox SET due_at = clock_timestamp() WHERE state = 'waiting'")


def failing(type_: str, error: TielineError, heard: list[str]) -> Callable[[Event], None]:
    def deliver(event: Event) -> None:
        if event.type == type_:
            raise error
        heard.append(event.type)

    return deliver


class TestQueueing:
    def test_queues_nothing_that_nobody_hears(self, worker_database: Database) -> None:
        tell(worker_database, "project.active")

        with worker_database.transaction() as connection:
            kept = connection.execute("SELECT count(*)::int AS n FROM event").fetchone()
            queued = connection.execute("SELECT count(*)::int AS n FROM outbox").fetchone()

        assert (kept, queued) == ({"n": 1}, {"n": 0})

    def test_queues_for_each_by_type_and_legal_entity(self, worker_database: Database) -> None:
        hears(worker_database, "all")
        hears(worker_database, "deals", config={"events": ["deal.won"]})
        hears(worker_database, "france", config={"legal_entities": ["FR"]})
        tell(worker_database, "deal.won", entity="DE")
        tell(worker_database, "project.active", entity="FR", subject="2")
        tell(worker_database, "runtime.executor_lost", entity=None, subject="3")

        assert heard_by(worker_database, "all") == [
            "deal.won",
            "project.active",
            "runtime.executor_lost",
        ]
        assert heard_by(worker_database, "deals") == ["deal.won"]
        assert heard_by(worker_database, "france") == ["project.active"]


class TestDelivery:
    def test_delivers_each_event_once(self, worker_database: Database) -> None:
        hears(worker_database, "bus")
        tell(worker_database, "project.active")

        assert heard_by(worker_database, "bus") == ["project.active"]
        assert heard_by(worker_database, "bus") == []

    def test_keeps_the_order_of_a_subject_when_one_is_refused(
        self, worker_database: Database
    ) -> None:
        hears(worker_database, "bus")
        for type_ in ("first", "second"):
            tell(worker_database, type_, subject="1")
        tell(worker_database, "other", subject="2")
        heard: list[str] = []
        refusal = Refused("no", reason="vendor.422")

        drain(worker_database, connection_key="bus", deliver=failing("first", refusal, heard))

        assert heard == ["other"]
        at_once(worker_database)
        assert heard_by(worker_database, "bus") == ["first", "second"]

    def test_asks_nobody_who_is_down_for_every_event(self, worker_database: Database) -> None:
        hears(worker_database, "bus")
        for number in range(5):
            tell(worker_database, "first", subject=str(number))
        asked: list[str] = []

        def deliver(event: Event) -> None:
            asked.append(event.subject_id)
            raise OutcomeUnknown("no answer")

        with pytest.raises(OutcomeUnknown):
            drain(worker_database, connection_key="bus", deliver=deliver)

        assert len(asked) == 1
        at_once(worker_database)
        assert len(heard_by(worker_database, "bus")) == 5

    def test_sends_again_what_a_dead_sender_had_taken(self, worker_database: Database) -> None:
        hears(worker_database, "bus")
        tell(worker_database, "project.active")

        def die(_event: Event) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            drain(worker_database, connection_key="bus", deliver=die)

        # Nobody else sends it while the sender may still be at it.
        assert heard_by(worker_database, "bus") == []
        at_once(worker_database)
        assert heard_by(worker_database, "bus") == ["project.active"]

    @pytest.mark.parametrize("is_paused", [True, False])
    def test_waits_while_a_connection_is_paused_or_observes(
        self, worker_database: Database, is_paused: bool
    ) -> None:
        hears(worker_database, "bus", mode="act" if is_paused else "observe")
        with worker_database.transaction() as connection:
            connection.execute("UPDATE connection SET paused = %s", (is_paused,))
        tell(worker_database, "project.active")

        assert heard_by(worker_database, "bus") == []
        with worker_database.transaction() as connection:
            connection.execute("UPDATE connection SET paused = false, mode = 'act'")
        assert heard_by(worker_database, "bus") == ["project.active"]

    def test_gives_up_what_is_refused_for_good_until_it_is_queued_anew(
        self, worker_database: Database
    ) -> None:
        hears(worker_database, "bus")
        tell(worker_database, "first")
        tell(worker_database, "second")
        heard: list[str] = []
        refusal = Refused("no", reason="vendor.422")

        for _ in range(12):
            drain(worker_database, connection_key="bus", deliver=failing("first", refusal, heard))
            at_once(worker_database)

        with worker_database.transaction() as connection:
            given_up = list_receivers(connection, connection_key="bus")[0]
            assert (given_up.failed, given_up.last_error) == (1, "write.refused")
            assert send_again(connection, connection_key="bus") == 1
        # Who was given up does not hold the later ones up.
        assert heard == ["second"]
        assert heard_by(worker_database, "bus") == ["first"]


class TestInbox:
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
