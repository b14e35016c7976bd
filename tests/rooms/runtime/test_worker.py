"""Sagas survive the processes that run them; real processes, really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tieline.kernel.failpoints import EXIT_CODE, VARIABLE
from tieline.runtime.database import Database
from tieline.runtime.housekeeping import purge
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import BILLING, schedule

_WORKER = Path(__file__).with_name("saga_worker.py")
_PATIENCE_SECONDS = 40


@pytest.fixture
def saga_database(database: Dsns) -> Iterator[Database]:
    with psycopg.connect(database.owner) as connection:
        connection.execute(
            "CREATE TABLE saga_step (subject text, number integer, pid integer, PRIMARY KEY (subject, number))"
        )
    opened = Database(database.worker, pool_max=2).open()
    yield opened
    opened.close()


@contextmanager
def worker(
    dsns: Dsns, *options: str, failpoint: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    wanted = {} if failpoint is None else {VARIABLE: failpoint}
    process = subprocess.Popen(
        [sys.executable, str(_WORKER), *options],
        env=os.environ | {"TIELINE_TEST_DSN": dsns.worker} | wanted,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_until(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not question():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def wait_until_it_hangs(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "hanging\n"


def ask_for_saga(database: Database, subject: str) -> None:
    with database.transaction() as connection:
        schedule(connection, kind="saga", subject=subject, work_class=BILLING, correlation_id="c1")


def is_done(database: Database, subject: str) -> bool:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT state FROM work_item WHERE kind = 'saga' AND subject = %s", (subject,)
        ).fetchall()
    return bool(rows) and all(row["state"] == "done" for row in rows)


def pids_of_steps(database: Database, subject: str) -> list[int]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT pid FROM saga_step WHERE subject = %s ORDER BY number", (subject,)
        ).fetchall()
    return [row["pid"] for row in rows]


class TestKilledWorker:
    def test_leaves_its_saga_to_the_other(self, database: Dsns, saga_database: Database) -> None:
        with worker(database, "--hang-in-step", "2") as first:
            ask_for_saga(saga_database, "deal-1")
            wait_until_it_hangs(first)
            with saga_database.transaction() as connection:
                # It was calling somebody who takes one call at a time.
                connection.execute(
                    "INSERT INTO connection_slot (connection_key, slot_no, holder, until)"
                    " SELECT 'erp', 1, executor_id, 'infinity' FROM executor WHERE pid = %s",
                    (first.pid,),
                )
            with worker(database) as second:
                first.kill()
                first.wait()
                wait_until(lambda: is_done(saga_database, "deal-1"))

                assert pids_of_steps(saga_database, "deal-1") == [first.pid] * 2 + [second.pid] * 2
        with saga_database.transaction() as connection:
            event = connection.execute(
                "SELECT data FROM event WHERE type = 'runtime.executor_lost'"
            ).fetchall()
            counted = connection.execute(
                "SELECT count FROM outcome_count WHERE operation = 'executor' AND outcome = 'lost'"
            ).fetchone()
            states = connection.execute(
                "SELECT status, count(*) FROM dbos.workflow_status GROUP BY status"
            ).fetchall()
            held = connection.execute(
                "SELECT until > clock_timestamp() AS is_held FROM connection_slot"
            ).fetchall()
        assert [row["data"]["adopted"] for row in event] == [1]
        assert counted == {"count": 1}
        assert {row["status"]: row["count"] for row in states} == {"CANCELLED": 1, "SUCCESS": 1}
        assert held == [{"is_held": False}]

    def test_leaves_its_saga_to_a_third_when_the_adopter_dies_too(
        self, database: Dsns, saga_database: Database
    ) -> None:
        with worker(database, "--hang-in-step", "2") as first:
            ask_for_saga(saga_database, "deal-7")
            wait_until_it_hangs(first)
            first.kill()
            first.wait()
        with worker(database, failpoint="watchdog.after_cancel") as second:
            assert second.wait(_PATIENCE_SECONDS) == EXIT_CODE
        with worker(database) as third:
            wait_until(lambda: is_done(saga_database, "deal-7"))

            assert pids_of_steps(saga_database, "deal-7") == [first.pid] * 2 + [third.pid] * 2
        with saga_database.transaction() as connection:
            items = connection.execute("SELECT state FROM work_item").fetchall()
            lost = connection.execute("SELECT state FROM executor WHERE state = 'lost'").fetchall()
        assert [item["state"] for item in items] == ["done"]
        assert len(lost) == 2

    # What keeps its steps itself is no run of the engine, and is fenced off by its item alone.
    @pytest.mark.parametrize("words", [(), ("--keeps-steps",)])
    def test_is_ended_when_it_only_slept(
        self, database: Dsns, saga_database: Database, words: tuple[str, ...]
    ) -> None:
        with worker(database, "--hang-in-step", "2", "--lease-seconds", "6", *words) as first:
            ask_for_saga(saga_database, "deal-2")
            wait_until_it_hangs(first)
            first.send_signal(signal.SIGSTOP)
            with worker(database) as second:
                wait_until(lambda: is_done(saga_database, "deal-2"))

                assert first.wait(5) == -signal.SIGKILL
                assert pids_of_steps(saga_database, "deal-2")[2:] == [second.pid] * 2
        with saga_database.transaction() as connection:
            known = connection.execute(
                "SELECT count(*) AS runs FROM dbos.workflow_status"
            ).fetchone()
        assert known == {"runs": 1 if words else 2}


class TestBusyWorker:
    def test_is_not_taken_for_dead_when_its_work_holds_every_connection(
        self, database: Dsns, saga_database: Database
    ) -> None:
        options = ("--hang-in-step", "1", "--hold-pool", "--lease-seconds", "6")
        with worker(database, *options) as busy:
            ask_for_saga(saga_database, "deal-7")
            wait_until_it_hangs(busy)

            time.sleep(7)

            with saga_database.transaction() as connection:
                row = connection.execute(
                    "SELECT state, lease_until > clock_timestamp() AS breathes FROM executor"
                ).fetchone()
            busy.kill()
        assert row == {"state": "alive", "breathes": True}


class TestNewVersion:
    def test_adopts_the_saga_of_an_older_one(self, database: Dsns, saga_database: Database) -> None:
        with worker(database, "--version", "1", "--hang-in-step", "1") as old:
            ask_for_saga(saga_database, "deal-3")
            wait_until_it_hangs(old)
            old.kill()
            old.wait()
        with worker(database, "--version", "2") as new:
            wait_until(lambda: is_done(saga_database, "deal-3"))

            assert pids_of_steps(saga_database, "deal-3") == [old.pid] + [new.pid] * 3
        with saga_database.transaction() as connection:
            rows = connection.execute(
                "SELECT application_version, status FROM dbos.workflow_status ORDER BY 1"
            ).fetchall()
        assert [(row["application_version"], row["status"]) for row in rows] == [
            ("1", "CANCELLED"),
            ("2", "SUCCESS"),
        ]


class TestSameWork:
    def test_runs_once_when_asked_for_twice(self, database: Dsns, saga_database: Database) -> None:
        with saga_database.transaction() as connection:
            for _ in range(2):
                schedule(
                    connection,
                    kind="saga",
                    subject="deal-4",
                    work_class=BILLING,
                    correlation_id="c",
                )
        with worker(database), worker(database):
            wait_until(lambda: is_done(saga_database, "deal-4"))

        with saga_database.transaction() as connection:
            items = connection.execute("SELECT attempt FROM work_item").fetchall()
            runs = connection.execute("SELECT workflow_uuid FROM dbos.workflow_status").fetchall()
        assert [item["attempt"] for item in items] == [1]
        assert len(runs) == 1


class TestOwnSlots:
    def test_let_so_many_wait_at_once(self, database: Dsns, saga_database: Database) -> None:
        for number in range(9):
            ask_for_saga(saga_database, f"{number}")

        with worker(database, "--own-slots", "8", "--hang-in-step", "2") as process:
            for _ in range(8):
                wait_until_it_hangs(process)

            running = "SELECT count(*) AS runs FROM work_item WHERE state = 'running'"
            with saga_database.transaction() as connection:
                assert connection.execute(running).fetchone() == {"runs": 8}
            # None of them ends by itself.
            process.kill()


class TestStoppedWorker:
    def test_ends_well_when_told_to(self, database: Dsns, saga_database: Database) -> None:
        with worker(database) as process:
            ask_for_saga(saga_database, "deal-5")
            wait_until(lambda: is_done(saga_database, "deal-5"))
            process.terminate()

            assert process.wait(15) == 0
        with saga_database.transaction() as connection:
            row = connection.execute("SELECT state FROM executor").fetchone()
        assert row == {"state": "stopped"}

    def test_leaves_nothing_behind_for_ever(self, database: Dsns, saga_database: Database) -> None:
        with worker(database):
            ask_for_saga(saga_database, "deal-6")
            wait_until(lambda: is_done(saga_database, "deal-6"))

        assert purge(saga_database) == 0
        assert purge(saga_database, keep_seconds=0) == 3
        with saga_database.transaction() as connection:
            left = connection.execute("SELECT count(*) FROM dbos.operation_outputs").fetchone()
        assert left == {"count": 0}
