"""What waits is a row, once, however often it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tieline.kernel.errors import LeaseLost, TryAgain
from tieline.runtime.database import Database
from tieline.runtime.durable import KeptSteps
from tieline.runtime.work import (
    BILLING,
    CUT_OFF,
    REFERENCE,
    Again,
    Done,
    Failed,
    Turns,
    WorkItem,
    claim,
    due_kinds,
    finish,
    put_back,
    schedule,
)

pytestmark = pytest.mark.sql
NOW = datetime(2026, 11, 3, 8, 0, tzinfo=UTC)


def ask(
    database: Database,
    *,
    subject: str = "a",
    work_class: int = BILLING,
    due: int = 0,
    kind: str = "k",
    value: int = 0,
    deadline: datetime | None = None,
) -> None:
    with database.transaction() as connection:
        schedule(
            connection,
            kind=kind,
            subject=subject,
            work_class=work_class,
            due_in_seconds=due,
            correlation_id="c",
            value_at_risk=Decimal(value),
            deadline=deadline,
        )


def take(
    database: Database,
    *,
    slots: int = 10,
    low_slots: int = 10,
    kind_slots: int = 10,
    turns: Turns | None = None,
) -> list[WorkItem]:
    with database.transaction() as connection:
        return claim(
            connection,
            executor_id="e",
            kinds=["k", "other"],
            slots=slots,
            low_slots=low_slots,
            kind_slots=kind_slots,
            turns=turns or Turns(),
            now=NOW,
        )


def end(database: Database, item: WorkItem, outcome: Any, *, hold: bool = False) -> str | None:
    with database.transaction() as connection:
        return finish(connection, item=item, outcome=outcome, hold=hold)


def rows(database: Database) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        return connection.execute(
            """
            SELECT state, attempt, errors, last_error,
                   round(extract(epoch FROM due_at - clock_timestamp()))::integer AS due_in
            FROM work_item ORDER BY work_id
            """
        ).fetchall()


class TestSchedule:
    def test_keeps_one_row_while_it_waits(self, worker_database: Database) -> None:
        ask(worker_database, due=60)
        ask(worker_database, due=600)

        assert [row["due_in"] for row in rows(worker_database)] == [60]

    def test_brings_waiting_work_forward(self, worker_database: Database) -> None:
        ask(worker_database, due=600)
        ask(worker_database, due=0)

        assert len(take(worker_database)) == 1

    def test_runs_once_more_when_asked_while_running(self, worker_database: Database) -> None:
        ask(worker_database)
        [item] = take(worker_database)
        ask(worker_database)

        assert take(worker_database) == []
        assert end(worker_database, item, Done()) == "waiting"
        assert [again.attempt for again in take(worker_database)] == [2]

    def test_begins_a_new_row_after_the_end(self, worker_database: Database) -> None:
        ask(worker_database)
        [first] = take(worker_database)
        end(worker_database, first, Done())
        ask(worker_database)

        [second] = take(worker_database)

        assert second.workflow_id != first.workflow_id
        assert [row["state"] for row in rows(worker_database)] == ["done", "running"]

    def test_does_not_shorten_a_back_off(self, worker_database: Database) -> None:
        ask(worker_database)
        [item] = take(worker_database)
        end(worker_database, item, Again(due_in_seconds=60), hold=True)
        ask(worker_database)

        assert take(worker_database) == []
        assert [(row["due_in"], row["errors"]) for row in rows(worker_database)] == [(60, 1)]

    def test_is_undone_with_its_transaction(self, worker_database: Database) -> None:
        def schedule_and_fail() -> None:
            with worker_database.transaction() as connection:
                schedule(connection, kind="k", subject="a", work_class=BILLING, correlation_id="c")
                raise TryAgain("something else went wrong")

        with pytest.raises(TryAgain):
            schedule_and_fail()

        assert rows(worker_database) == []


class TestClaim:
    def test_takes_the_more_urgent_class_first(self, worker_database: Database) -> None:
        ask(worker_database, subject="late", work_class=REFERENCE)
        ask(worker_database, subject="cut-off", work_class=CUT_OFF)

        assert [item.subject for item in take(worker_database, slots=1)] == ["cut-off"]

    def test_lets_nothing_starve(self, worker_database: Database) -> None:
        ask(worker_database, subject="old", work_class=REFERENCE)
        with worker_database.transaction() as connection:
            connection.execute("UPDATE work_item SET due_at = due_at - interval '5 minutes'")
        ask(worker_database, subject="young", work_class=REFERENCE)
        for number in range(9):
            ask(worker_database, subject=str(number), work_class=CUT_OFF)

        turns = Turns()

        taken = [take(worker_database, slots=1, turns=turns)[0].subject for _ in range(10)]

        assert taken.index("old") == 8, "of eight the oldest of a class is owed one"
        assert "young" not in taken

    def test_gives_each_class_its_share_however_many_are_taken_at_once(
        self, worker_database: Database
    ) -> None:
        for number in range(60):
            ask(worker_database, subject=f"due {number}", work_class=CUT_OFF)
            ask(worker_database, subject=f"low {number}", work_class=REFERENCE)
        turns = Turns()

        taken = [
            item.work_class
            for slots in (1, 7, 2, 9, 3, 8, 1, 10, 7, 2, 6, 4)
            for item in take(worker_database, slots=slots, turns=turns, kind_slots=200)
        ]

        assert (taken.count(CUT_OFF), taken.count(REFERENCE)) == (53, 7)

    def test_takes_what_is_worth_most_of_what_is_due_together(
        self, worker_database: Database
    ) -> None:
        for hours, value in ((9, 100), (9, 900), (2, 100), (90, 1100), (9, 300)):
            ask(
                worker_database,
                subject=f"{value} in {hours} h",
                work_class=CUT_OFF,
                value=value,
                deadline=NOW + timedelta(hours=hours),
            )
        ask(worker_database, subject="some day", work_class=CUT_OFF, value=9000)

        taken = [take(worker_database, slots=1)[0].subject for _ in range(6)]

        assert taken == [
            "900 in 9 h", "100 in 2 h", "300 in 9 h", "1100 in 90 h", "100 in 9 h", "some day"
        ]  # fmt: skip

    def test_keeps_the_last_slots_for_money(self, worker_database: Database) -> None:
        for number in range(5):
            ask(worker_database, subject=str(number), work_class=REFERENCE)

        assert len(take(worker_database, low_slots=2)) == 2

    def test_lets_no_kind_take_every_slot(self, worker_database: Database) -> None:
        for number in range(20):
            ask(worker_database, subject=str(number), work_class=CUT_OFF)
        first = take(worker_database, slots=4, kind_slots=3)
        ask(worker_database, kind="other", work_class=REFERENCE)

        second = take(worker_database, slots=4, kind_slots=4)

        assert [item.kind for item in first] == ["k"] * 3
        assert sorted(item.kind for item in second) == ["k", "other"]

    def test_leaves_what_is_not_due(self, worker_database: Database) -> None:
        ask(worker_database, due=5)

        assert take(worker_database) == []

    def test_is_asked_for_where_something_is_due_alone(self, worker_database: Database) -> None:
        ask(worker_database, kind="k", due=600)
        ask(worker_database, kind="other", work_class=REFERENCE)
        ask(worker_database, kind="another's")

        with worker_database.transaction() as connection:
            due = due_kinds(connection, kinds=["k", "other"])

        assert due == {"other"}


class TestFinish:
    def test_records_a_failure_with_its_reason(self, worker_database: Database) -> None:
        ask(worker_database)
        [item] = take(worker_database)

        assert end(worker_database, item, Failed("no such project")) == "failed"
        assert [row["last_error"] for row in rows(worker_database)] == ["no such project"]

    def test_is_refused_to_a_run_that_was_taken_over(self, worker_database: Database) -> None:
        ask(worker_database)
        [lost] = take(worker_database)
        with worker_database.transaction() as connection:
            put_back(connection, workflow_ids=[lost.workflow_id], because="executor.lost")
        [successor] = take(worker_database)

        assert end(worker_database, lost, Done()) is None
        assert end(worker_database, successor, Done()) == "done"


class TestKeptSteps:
    def test_stop_before_the_next_step_once_the_item_is_another_runs(
        self, worker_database: Database
    ) -> None:
        ask(worker_database)
        (item,) = take(worker_database)
        steps, made = KeptSteps(database=worker_database, item=item), list[str]()

        steps.run("first", lambda: made.append("first"))
        with worker_database.transaction() as connection:
            put_back(connection, workflow_ids=[item.workflow_id], because="work.executor_lost")
        take(worker_database)

        with pytest.raises(LeaseLost, match="taken over before second"):
            steps.run("second", lambda: made.append("second"))
        assert made == ["first"]
