"""What a handler says, or fails to say, decides what becomes of its work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
from psycopg import Connection

from tieline.kernel.errors import AskPerson, TryAgain
from tieline.runtime.clock import BusinessClock
from tieline.runtime.database import Database, Row
from tieline.runtime.durable import backoff_seconds
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import BILLING, Again, Done, Handler, Outcome, Steps, WorkItem, schedule
from tieline.runtime.worker import Job, Worker


@contextmanager
def running(
    dsns: Dsns,
    database: Database,
    handlers: Mapping[str, Handler],
    *,
    jobs: tuple[Job, ...] = (),
    failures: list[str] | None = None,
) -> Iterator[None]:
    def note(_connection: Connection[Row], item: WorkItem, reason: str) -> None:
        if failures is not None:
            failures.append(f"{item.kind}: {reason}")

    worker = Worker(
        worker_dsn=dsns.worker,
        database=database,
        handlers=handlers,
        jobs=jobs,
        clock=BusinessClock(),
        on_failed=note,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(30)


def ask(database: Database, kind: str) -> None:
    with database.transaction() as connection:
        schedule(connection, kind=kind, subject="1", work_class=BILLING, correlation_id="story-1")


def wait_until(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not question():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def item(database: Database, kind: str) -> Row:
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT state, attempt, errors, last_error FROM work_item WHERE kind = %s", (kind,)
        ).fetchone()
    assert row is not None
    return row


class TestHandler:
    def test_is_asked_again_after_trouble_that_may_pass(
        self, database: Dsns, worker_database: Database
    ) -> None:
        calls: list[int] = []

        def flaky(_steps: Steps, _subject: str) -> Outcome:
            calls.append(1)
            if len(calls) == 1:
                raise TryAgain("the vendor is away", retry_after_seconds=1)
            return Done()

        with running(database, worker_database, {"flaky": flaky}):
            ask(worker_database, "flaky")
            wait_until(lambda: item(worker_database, "flaky")["state"] == "done")

        assert item(worker_database, "flaky")["attempt"] == 2

    def test_is_not_asked_again_when_a_person_must_act(
        self, database: Dsns, worker_database: Database
    ) -> None:
        failures: list[str] = []

        def refused(_steps: Steps, _subject: str) -> Outcome:
            raise AskPerson("the vendor refuses our credentials")

        with running(database, worker_database, {"refused": refused}, failures=failures):
            ask(worker_database, "refused")
            wait_until(lambda: item(worker_database, "refused")["state"] == "failed")

        assert failures == ["refused: the vendor refuses our credentials"]

    def test_may_have_a_defect_without_ending_the_worker(
        self, database: Dsns, worker_database: Database
    ) -> None:
        def broken(_steps: Steps, _subject: str) -> Outcome:
            raise KeyError("billing_method")

        def fine(steps: Steps, _subject: str) -> Outcome:
            return Done() if steps.run("add", lambda: 1 + 1) == 2 else Again(due_in_seconds=1)

        with running(database, worker_database, {"broken": broken, "fine": fine}):
            ask(worker_database, "broken")
            wait_until(lambda: item(worker_database, "broken")["errors"] >= 1)
            ask(worker_database, "fine")
            wait_until(lambda: item(worker_database, "fine")["state"] == "done")

        assert "KeyError" in item(worker_database, "broken")["last_error"]

    def test_leaves_work_of_unknown_kinds_alone(
        self, database: Dsns, worker_database: Database
    ) -> None:
        with running(database, worker_database, {}):
            ask(worker_database, "of_a_newer_version")
            time.sleep(1)

        assert item(worker_database, "of_a_newer_version")["attempt"] == 0


class TestJobs:
    def test_run_on_time_although_another_is_broken(
        self, database: Dsns, worker_database: Database
    ) -> None:
        runs: list[str] = []

        def broken() -> None:
            runs.append("broken")
            raise ValueError("always")

        jobs = (
            Job(name="broken", interval_seconds=1, function=broken),
            Job(name="good", interval_seconds=1, function=lambda: runs.append("good")),
        )
        with running(database, worker_database, {}, jobs=jobs):
            wait_until(lambda: runs.count("good") >= 2 and runs.count("broken") >= 2)

        with worker_database.transaction() as connection:
            rows = connection.execute(
                "SELECT DISTINCT operation, outcome FROM outcome_count ORDER BY 1"
            ).fetchall()
        assert [(row["operation"], row["outcome"]) for row in rows] == [
            ("job:broken", "error"),
            ("job:good", "done"),
        ]


class TestBackOff:
    @pytest.mark.parametrize(("errors", "ceiling"), [(0, 1), (3, 8), (40, 120)])
    def test_grows_up_to_a_cap(self, errors: int, ceiling: int) -> None:
        waits = {backoff_seconds(errors=errors) for _ in range(200)}

        assert min(waits) >= 1
        assert max(waits) <= ceiling


class TestWebRole:
    def test_may_ask_for_work_but_not_claim_it(self, database: Dsns) -> None:
        web = Database(database.web, pool_max=1).open()
        ask(web, "provision")
        ask(web, "provision")

        with web.transaction() as connection:
            row = connection.execute(
                "SELECT has_column_privilege('work_item', 'state', 'UPDATE') AS may_claim"
            ).fetchone()
        web.close()
        assert row == {"may_claim": False}
