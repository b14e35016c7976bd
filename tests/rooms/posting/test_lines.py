"""Time lines reach the target once, whatever the target does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.support.scene import DAY, NOW, Scene, add_hours, add_version, build_scene
from tests.support.target import (
    BROKEN,
    BUSY,
    LATE,
    LATE_SENDER,
    LOST,
    REFUSED_CONNECTION,
    FixedClock,
    LineTarget,
    OneConnector,
    OpenBudgets,
)

from tieline.canonical import TimeLineCommand
from tieline.casework import dismiss, list_cases, sync_time_cases
from tieline.kernel.errors import LeaseLost
from tieline.ledger import plan
from tieline.posting.lines import LinePoster, Scope
from tieline.runtime.database import Database
from tieline.sdk import Strategy

_PATIENCE_SECONDS = 15
_KEYS = "SELECT business_key FROM effect ORDER BY business_key"

pytestmark = pytest.mark.sql


@pytest.fixture
def scene(owner_database: Database) -> Scene:
    with owner_database.transaction() as connection:
        return build_scene(connection)


@pytest.fixture
def target() -> LineTarget:
    return LineTarget()


@pytest.fixture
def poster(worker_database: Database, target: LineTarget) -> LinePoster:
    return LinePoster(
        database=worker_database,
        connectors=OneConnector(target),
        budgets=OpenBudgets(),  # type: ignore[arg-type]
        clock=FixedClock(NOW),
        batch_lines_max=4,
    )


Run = Callable[[], None]


@pytest.fixture
def run(worker_database: Database, poster: LinePoster, scene: Scene) -> Run:
    """Plan and post until nothing is left, as the flow does."""
    scope = Scope(target_connection="tryton", entity_code="HR-DE", period_id=scene.period_id)

    def until_done() -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with worker_database.transaction() as connection:
                plan(connection, entry_ids=None, now=NOW)
            sent = poster.round(scope=scope)
            if sent.wait_seconds is None and not sent.voided:
                return
            time.sleep(0.05)
        raise AssertionError("posting did not come to an end")

    return until_done


def _rows(database: Database, statement: str) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        return connection.execute(statement).fetchall()


def _scope(scene: Scene) -> Scope:
    return Scope(target_connection="tryton", entity_code="HR-DE", period_id=scene.period_id)


def _states(database: Database) -> list[dict[str, Any]]:
    return _rows(database, "SELECT seconds, state, reason FROM effect ORDER BY seconds")


def _let_stand(
    database: Database, target: LineTarget, *, seconds: int, stored_seconds: int | None = None
) -> None:
    """Let the target hold the planned line of so many seconds, or another under its key."""
    (row,) = _rows(database, f"SELECT business_key FROM effect WHERE seconds = {seconds}")
    line = TimeLineCommand(
        business_key=row["business_key"],
        entity_code="HR-DE",
        person_code="77",
        task_code="501",
        work_date=DAY,
        seconds=stored_seconds or seconds,
        narrative=None,
    )
    target.write_lines(entity_code="HR-DE", lines=[line])


def _let_it_be_due(database: Database) -> None:
    """Let the time pass that an answer may still take."""
    with database.transaction() as connection:
        connection.execute("UPDATE effect SET due_at = NULL, sent_at = sent_at - interval '1 hour'")


def _net_seconds(database: Database) -> int:
    return int(_rows(database, "SELECT coalesce(sum(seconds), 0) AS s FROM ledger_line")[0]["s"])


class TestPosting:
    def test_books_each_cleared_hour_once(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 1800, 5400, 900, 7200, 60])

        run()
        run()

        assert sorted(line.seconds for line in target.lines.values()) == [
            60, 900, 1800, 3600, 5400, 7200,
        ]  # fmt: skip
        assert _net_seconds(owner_database) == 18960

    @pytest.mark.parametrize("mood", [LOST, LATE, BUSY, REFUSED_CONNECTION])
    def test_ends_with_one_line_after(
        self, mood: str, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 1800, 5400])
        target.plan = [mood]

        run()
        target.commit_late()

        assert sorted(line.seconds for line in target.lines.values()) == [1800, 3600, 5400]
        assert _net_seconds(owner_database) == 10800

    @pytest.mark.parametrize("mood", [LOST, BROKEN])
    def test_asks_and_does_not_send_again_after(
        self, mood: str, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 1800])
        target.plan = [mood]

        run()

        assert target.calls == 1
        assert _net_seconds(owner_database) == 5400

    def test_opens_a_case_for_what_the_target_stored_otherwise(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 1000])
        target.rounds_to = 900

        run()
        with owner_database.transaction() as connection:
            sync_time_cases(connection, now=NOW, correlation_id="c")
            (case,) = list_cases(connection)
            dismiss(connection, case_id=case.case_id, reason="it may round", by="ada", now=NOW)
            again = sync_time_cases(connection, now=NOW, correlation_id="c")

        booked = _rows(owner_database, "SELECT seconds, target_seconds FROM ledger_line ORDER BY 1")
        assert [(row["seconds"], row["target_seconds"]) for row in booked] == [
            (1000, 900),
            (3600, 3600),
        ]
        assert (case.reason, case.owner_queue) == ("posted.altered_by_target", "finance")
        assert (case.members, case.seconds) == (1, 1000)
        assert again.opened == 0

    def test_finds_the_one_refused_line_of_a_batch(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 13, 5400])
        target.refused_seconds = {13}

        run()

        states = _rows(owner_database, "SELECT state, seconds FROM effect ORDER BY seconds")
        assert [(row["state"], row["seconds"]) for row in states] == [
            ("REJECTED", 13),
            ("CONFIRMED", 3600),
            ("CONFIRMED", 5400),
        ]

    def test_takes_back_and_books_anew_after_a_change(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            entry_id = add_hours(connection, scene, seconds=[3600])[0]
        run()
        with owner_database.transaction() as connection:
            add_version(
                connection, scene, entry_id=entry_id, version=2, seconds=5400, outcome="correct"
            )

        run()

        assert [line.seconds for line in target.lines.values()] == [5400]
        lines = _rows(owner_database, "SELECT seconds FROM ledger_line ORDER BY line_id")
        assert [row["seconds"] for row in lines] == [3600, -3600, 5400]

    def test_never_touches_an_invoiced_line(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            entry_id = add_hours(connection, scene, seconds=[3600])[0]
        run()
        target.invoiced = set(target.lines)
        with owner_database.transaction() as connection:
            add_version(
                connection, scene, entry_id=entry_id, version=2, seconds=5400, outcome="correct"
            )

        run()

        assert [line.seconds for line in target.lines.values()] == [3600]
        void = _rows(owner_database, "SELECT state, reason FROM effect WHERE kind = 'void'")[0]
        assert (void["state"], void["reason"]) == ("REJECTED", "target.invoiced")

    def test_leaves_to_a_person_what_stands_twice_under_one_key(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 1800])
        target.plan = [LOST]
        target.doubled_seconds = {1800}

        run()

        effects = _rows(
            owner_database, "SELECT seconds, state, reason FROM effect ORDER BY seconds"
        )
        assert [row["state"] for row in effects] == ["CONFLICT", "CONFIRMED"]
        assert "copy" in effects[0]["reason"]
        assert _net_seconds(owner_database) == 3600

    def test_asks_again_when_it_cannot_read_what_it_wrote(
        self,
        owner_database: Database,
        scene: Scene,
        target: LineTarget,
        poster: LinePoster,
        run: Run,
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 1800])
            plan(connection, entry_ids=None, now=NOW)
        target.broken_reads = 1

        poster.round(scope=_scope(scene))

        assert {row["state"] for row in _states(owner_database)} == {"UNKNOWN"}
        run()
        assert target.calls == 1
        assert _net_seconds(owner_database) == 5400

    def test_takes_what_it_cannot_read_for_unknown_though_it_is_said_to_exist(
        self,
        owner_database: Database,
        scene: Scene,
        target: LineTarget,
        poster: LinePoster,
        run: Run,
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 1800])
            plan(connection, entry_ids=None, now=NOW)
        _let_stand(owner_database, target, seconds=3600)
        target.broken_reads = 1

        poster.round(scope=_scope(scene))

        assert {row["state"] for row in _states(owner_database)} == {"UNKNOWN"}
        run()
        assert sorted(line.seconds for line in target.lines.values()) == [1800, 3600]
        assert _net_seconds(owner_database) == 5400

    def test_leaves_to_a_person_what_stands_otherwise_under_its_key(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600, 1800])
            plan(connection, entry_ids=None, now=NOW)
        _let_stand(owner_database, target, seconds=3600, stored_seconds=60)

        run()

        assert [
            (row["seconds"], row["state"], row["reason"]) for row in _states(owner_database)
        ] == [
            (1800, "CONFIRMED", None),
            (3600, "CONFLICT", "posted.conflict"),
        ]
        assert _net_seconds(owner_database) == 1800

    def test_leaves_an_intent_behind_when_it_woke_up_late(
        self,
        owner_database: Database,
        scene: Scene,
        target: LineTarget,
        poster: LinePoster,
        run: Run,
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600])
            plan(connection, entry_ids=None, now=NOW)
        target.plan = [LATE_SENDER]

        with pytest.raises(LeaseLost):
            poster.round(scope=_scope(scene))

        assert [row["state"] for row in _states(owner_database)] == ["INTENT"]
        run()
        assert [line.seconds for line in target.lines.values()] == [3600]

    @pytest.mark.parametrize("moment", ["write", "read_back", "probe"])
    def test_records_nothing_once_another_run_took_over(
        self,
        owner_database: Database,
        scene: Scene,
        target: LineTarget,
        poster: LinePoster,
        run: Run,
        moment: str,
    ) -> None:
        """Who slept through a call wakes with an old answer: it must not overrule a newer try."""
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600])
            plan(connection, entry_ids=None, now=NOW)
        if moment == "probe":
            target.plan = [LATE]
            poster.round(scope=_scope(scene))
            target.late.clear()
            _let_it_be_due(owner_database)

        def sleep_while_another_finishes() -> None:
            target.after_write = target.after_read = None
            _let_it_be_due(owner_database)
            run()

        if moment == "write":
            target.after_write = sleep_while_another_finishes
        else:
            target.after_read = sleep_while_another_finishes

        with pytest.raises(LeaseLost, match="taken over by another run"):
            poster.round(scope=_scope(scene))

        assert [row["state"] for row in _states(owner_database)] == ["CONFIRMED"]
        assert [line.seconds for line in target.lines.values()] == [3600]
        assert _net_seconds(owner_database) == 3600

    def test_sends_as_many_lines_at_once_as_the_connection_says(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[900, 1800, 2700, 3600])
            connection.execute(
                """UPDATE connection SET config = config || '{"batch_lines_max": 2}'"""
                " WHERE connection_key = 'tryton'"
            )

        run()

        assert (target.calls, len(target.lines)) == (2, 4)

    def test_sends_first_what_was_planned_first_of_what_is_worth_the_same(
        self,
        owner_database: Database,
        worker_database: Database,
        scene: Scene,
        target: LineTarget,
        poster: LinePoster,
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[60] * 8)
        with worker_database.transaction() as connection:
            plan(connection, entry_ids=None, now=NOW)
            # The four whose keys come last were planned before the others.
            connection.execute(
                """
                UPDATE effect SET planned_at = planned_at - interval '1 hour' WHERE business_key IN
                    (SELECT business_key FROM effect ORDER BY business_key DESC LIMIT 4)
                """
            )
        keys = [row["business_key"] for row in _rows(owner_database, _KEYS)]

        poster.round(scope=_scope(scene))

        assert sorted(target.lines) == keys[4:]

    def test_withdraws_a_plan_that_a_newer_version_overtook(
        self,
        owner_database: Database,
        worker_database: Database,
        scene: Scene,
        run: Run,
        target: LineTarget,
    ) -> None:
        with owner_database.transaction() as connection:
            entry_id = add_hours(connection, scene, seconds=[3600])[0]
        with worker_database.transaction() as connection:
            plan(connection, entry_ids=None, now=NOW)
        with owner_database.transaction() as connection:
            add_version(connection, scene, entry_id=entry_id, version=2, seconds=1800)

        run()

        assert [line.seconds for line in target.lines.values()] == [1800]


class TestAStretch:
    @pytest.fixture(autouse=True)
    def fourteen_hours(self, owner_database: Database, scene: Scene) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[60 * each for each in range(1, 15)])
            plan(connection, entry_ids=None, now=NOW)

    def test_books_every_line_of_many_batches_once(
        self,
        owner_database: Database,
        scene: Scene,
        target: LineTarget,
        poster: LinePoster,
    ) -> None:
        sent = poster.stretch(scope=_scope(scene), batches_max=10)

        assert (sent.confirmed, sent.wait_seconds) == (14, None)
        assert (target.calls, len(target.lines)) == (4, 14)
        assert {row["state"] for row in _states(owner_database)} == {"CONFIRMED"}
        assert _net_seconds(owner_database) == 60 * sum(range(1, 15))

    @pytest.mark.parametrize("mood", [LOST, BUSY, REFUSED_CONNECTION])
    def test_sends_no_further_batch_to_a_target_that_does_not_answer(
        self,
        owner_database: Database,
        scene: Scene,
        target: LineTarget,
        poster: LinePoster,
        run: Run,
        mood: str,
    ) -> None:
        target.plan = ["", mood]

        sent = poster.stretch(scope=_scope(scene), batches_max=10)

        assert (sent.confirmed, target.calls) == (4, 2)
        states = [row["state"] for row in _states(owner_database)]
        # What was reserved while the call was under way is planned again, and never was sent.
        assert (states.count("CONFIRMED"), states.count("INTENT")) == (4, 0)
        _let_it_be_due(owner_database)
        run()
        assert _net_seconds(owner_database) == 60 * sum(range(1, 15))
        assert len(target.lines) == 14

    def test_leaves_what_it_reserved_to_be_asked_for_when_it_lost_its_lease(
        self,
        owner_database: Database,
        scene: Scene,
        target: LineTarget,
        poster: LinePoster,
        run: Run,
    ) -> None:
        target.plan = ["", LATE_SENDER]

        with pytest.raises(LeaseLost):
            poster.stretch(scope=_scope(scene), batches_max=10)

        states = [row["state"] for row in _states(owner_database)]
        assert (states.count("CONFIRMED"), states.count("INTENT")) == (4, 8)
        assert target.calls == 2
        _let_it_be_due(owner_database)
        run()
        assert _net_seconds(owner_database) == 60 * sum(range(1, 15))
        assert len(target.lines) == 14

    def test_puts_no_batch_ahead_where_a_line_may_stand_twice(
        self,
        owner_database: Database,
        worker_database: Database,
        scene: Scene,
        target: LineTarget,
    ) -> None:
        poster = LinePoster(
            database=worker_database,
            connectors=OneConnector(target, strategy=Strategy.PROBE_BEFORE_RETRY),
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=FixedClock(NOW),
            batch_lines_max=4,
        )
        target.plan = ["", LATE_SENDER]

        with pytest.raises(LeaseLost):
            poster.stretch(scope=_scope(scene), batches_max=10)

        states = [row["state"] for row in _states(owner_database)]
        assert (states.count("CONFIRMED"), states.count("INTENT")) == (4, 4)


class TestATargetThatCannotBeAsked:
    """It keeps no key of ours: one attempt, and what is not answered waits for a person."""

    @pytest.fixture
    def poster(self, worker_database: Database, target: LineTarget) -> LinePoster:
        def refuse() -> None:
            raise AssertionError("there is nothing to ask it")

        target.after_read = refuse
        return LinePoster(
            database=worker_database,
            connectors=OneConnector(target, strategy=Strategy.ONCE_THEN_CASE),
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=FixedClock(NOW),
            batch_lines_max=2,
        )

    def test_is_believed_when_it_answers(
        self, owner_database: Database, scene: Scene, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[1800, 3600])

        run()

        assert [row["state"] for row in _states(owner_database)] == ["CONFIRMED"] * 2
        assert _net_seconds(owner_database) == 5400

    def test_is_not_sent_again_what_it_did_not_answer(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[900, 1800, 2700, 3600])
        target.plan = [LOST]

        run()
        run()

        assert target.calls == 2
        assert sorted(row["state"] for row in _states(owner_database)) == [
            "CONFIRMED",
            "CONFIRMED",
            "CONFLICT",
            "CONFLICT",
        ]
        places = _rows(
            owner_database,
            "SELECT place, count(*)::int AS n FROM entry_place GROUP BY 1 ORDER BY 1",
        )
        assert places == [{"place": "held", "n": 2}, {"place": "posted", "n": 2}]
        with owner_database.transaction() as connection:
            sync_time_cases(connection, now=NOW, correlation_id="c")
            (case,) = list_cases(connection, reason="posted.unconfirmed")
        assert case.members == 2

    def test_is_not_believed_beyond_its_answer(
        self, owner_database: Database, scene: Scene, target: LineTarget, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[1800, 3600])
        target.answered_max = 1

        run()

        assert sorted(row["state"] for row in _states(owner_database)) == ["CONFIRMED", "CONFLICT"]


class TestTheDatabase:
    def test_refuses_an_hour_that_was_not_cleared(
        self, owner_database: Database, worker_database: Database, scene: Scene
    ) -> None:
        with owner_database.transaction() as connection:
            entry_id = add_hours(connection, scene, seconds=[3600])[0]
            verdict_id = add_version(
                connection, scene, entry_id=entry_id, version=2, seconds=1800, outcome="held"
            )

        with (
            pytest.raises(psycopg.errors.ForeignKeyViolation),
            worker_database.transaction() as connection,
        ):
            connection.execute(
                "INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref,"
                " target_connection, noun, part, effect_no, kind, verdict_id, entry_id, entry_version,"
                " verdict_outcome, entity_code, period_id, seconds, work_class, correlation_id, planned_at)"
                " VALUES (gen_random_uuid(), 'harvest', 0, 'time_entries', 'x', 'tryton', 'time_line',"
                " 'main', 1, 'book', %s, %s, 2, 'cleared', 'HR-DE', %s, 1800, 1, 'c', %s)",
                (verdict_id, entry_id, scene.period_id, NOW),
            )

    def test_refuses_to_send_again_from_unknown(
        self, owner_database: Database, worker_database: Database, scene: Scene
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600])
        with worker_database.transaction() as connection:
            plan(connection, entry_ids=None, now=NOW)
            connection.execute("UPDATE effect SET state = 'INTENT', payload_hash = 'x'")
            connection.execute("UPDATE effect SET state = 'UNKNOWN'")

        with (
            pytest.raises(psycopg.errors.CheckViolation),
            worker_database.transaction() as connection,
        ):
            connection.execute("UPDATE effect SET state = 'INTENT'")

    def test_refuses_to_change_the_ledger(
        self, owner_database: Database, worker_database: Database, scene: Scene, run: Run
    ) -> None:
        with owner_database.transaction() as connection:
            add_hours(connection, scene, seconds=[3600])
        run()

        with (
            pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InsufficientPrivilege)),
            worker_database.transaction() as connection,
        ):
            connection.execute("UPDATE ledger_line SET seconds = 1")

    def test_computes_the_same_key_as_the_kernel(self, owner_database: Database) -> None:
        from tieline.kernel.keys import SourceIdentity, business_key

        key = business_key(
            source=SourceIdentity(
                connection_key="härvest", source_epoch=3, object="time_entries", source_ref="12"
            ),
            target_connection="tryton",
            noun="time_line",
            part="leg:HR-UK",
            effect_no=16,
        )

        row = _rows(
            owner_database,
            "SELECT tieline.business_key('härvest', 3, 'time_entries', '12', 'tryton', 'time_line',"
            " 'leg:HR-UK', 16) AS key",
        )[0]
        assert row["key"] == key
