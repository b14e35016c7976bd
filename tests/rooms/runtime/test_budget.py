"""A vendor's limit holds for all workers together."""

from __future__ import annotations

import threading

import httpx
import pytest

from tieline.app import as_connection
from tieline.kernel.errors import TryAgain
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.work import BILLING, CUT_OFF, REFERENCE
from tieline.sdk.http import HttpClient

pytestmark = pytest.mark.sql


@pytest.fixture
def budgets(worker_database: Database) -> Budgets:
    made = Budgets(database=worker_database)
    made.configure(connection_key="harvest", limit=10, window_seconds=60)
    return made


def granted(budgets: Budgets, *, work_class: int, asks: int) -> int:
    return sum(
        budgets.take(connection_key="harvest", work_class=work_class).wait_seconds == 0
        for _ in range(asks)
    )


def let_seconds_pass(database: Database, seconds: int) -> None:
    with database.transaction() as connection:
        connection.execute(
            """
            UPDATE connection_budget SET
                grants = ARRAY(SELECT at - make_interval(secs => %(s)s)
                               FROM unnest(grants) WITH ORDINALITY AS g (at, place) ORDER BY place),
                paused_until = paused_until - make_interval(secs => %(s)s),
                open_until = open_until - make_interval(secs => %(s)s)
            """,
            {"s": seconds},
        )


class TestRate:
    def test_grants_no_more_than_the_window_holds(self, budgets: Budgets) -> None:
        assert granted(budgets, work_class=CUT_OFF, asks=15) == 10
        assert 55 <= budgets.take(connection_key="harvest", work_class=CUT_OFF).wait_seconds <= 60

    def test_grants_again_when_the_window_has_moved_on(
        self, budgets: Budgets, worker_database: Database
    ) -> None:
        granted(budgets, work_class=CUT_OFF, asks=10)
        let_seconds_pass(worker_database, 30)
        assert granted(budgets, work_class=CUT_OFF, asks=1) == 0
        let_seconds_pass(worker_database, 31)

        assert granted(budgets, work_class=CUT_OFF, asks=20) == 10

    def test_leaves_room_for_the_more_urgent(self, budgets: Budgets) -> None:
        assert granted(budgets, work_class=REFERENCE, asks=20) == 8
        assert granted(budgets, work_class=CUT_OFF, asks=20) == 2

    def test_lets_who_waited_long_into_the_reserved_part(self, budgets: Budgets) -> None:
        granted(budgets, work_class=REFERENCE, asks=20)

        wait = budgets.take(
            connection_key="harvest", work_class=REFERENCE, waited_seconds=121
        ).wait_seconds

        assert wait == 0

    def test_holds_for_all_threads_together(self, budgets: Budgets) -> None:
        counts: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: counts.append(granted(budgets, work_class=CUT_OFF, asks=6))
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sum(counts) == 10


class TestBreaker:
    def test_opens_after_failures_and_lets_one_probe_through(
        self, budgets: Budgets, worker_database: Database
    ) -> None:
        for _ in range(5):
            assert budgets.take(connection_key="harvest", work_class=BILLING).wait_seconds == 0
            budgets.note_failure(connection_key="harvest")
        assert budgets.take(connection_key="harvest", work_class=BILLING).wait_seconds > 0

        let_seconds_pass(worker_database, 3)

        assert budgets.take(connection_key="harvest", work_class=BILLING).wait_seconds == 0
        assert budgets.take(connection_key="harvest", work_class=BILLING).wait_seconds > 0
        budgets.note_answer(connection_key="harvest")
        assert budgets.take(connection_key="harvest", work_class=BILLING).wait_seconds == 0

    def test_lets_the_next_call_go_as_soon_as_the_probe_is_answered(
        self, budgets: Budgets, worker_database: Database
    ) -> None:
        """An operation of several calls goes on after its first one showed the system to be up."""
        told = [500] * 5 + [200] * 3
        transport = httpx.MockTransport(
            lambda _: httpx.Response(told.pop(0), stream=httpx.ByteStream(b"{}"))
        )
        connection = as_connection(
            "harvest", config={"base_url": "http://time.example"}, secrets={}, budgets=budgets
        )
        client = HttpClient(connection=connection, headers={}, transport=transport)
        for _ in range(5):
            with pytest.raises(TryAgain):
                client.read(path="/users")
            budgets.note_failure(connection_key="harvest")
        let_seconds_pass(worker_database, 3)

        for _ in range(3):
            client.read(path="/users")

        assert told == []
        with worker_database.transaction() as connection_to_us:
            row = connection_to_us.execute("SELECT breaker FROM connection_budget").fetchone()
        assert row == {"breaker": "closed"}

    def test_opens_longer_when_the_probe_fails(
        self, budgets: Budgets, worker_database: Database
    ) -> None:
        for _ in range(5):
            budgets.note_failure(connection_key="harvest")
        let_seconds_pass(worker_database, 3)
        budgets.take(connection_key="harvest", work_class=BILLING)
        budgets.note_failure(connection_key="harvest")

        with worker_database.transaction() as connection:
            row = connection.execute("SELECT breaker, openings FROM connection_budget").fetchone()
        assert row == {"breaker": "open", "openings": 2}


class TestPause:
    def test_obeys_the_time_that_the_target_named(
        self, budgets: Budgets, worker_database: Database
    ) -> None:
        budgets.note_retry_after(connection_key="harvest", seconds=20)

        assert 19 <= budgets.take(connection_key="harvest", work_class=CUT_OFF).wait_seconds <= 20
        let_seconds_pass(worker_database, 21)
        assert budgets.take(connection_key="harvest", work_class=CUT_OFF).wait_seconds == 0


class TestRetries:
    def test_run_out_and_come_back_with_answers(self, budgets: Budgets) -> None:
        taken = sum(budgets.take_retry(connection_key="harvest") for _ in range(20))
        for _ in range(10):
            budgets.note_answer(connection_key="harvest")

        assert taken == 10
        assert budgets.take_retry(connection_key="harvest")
