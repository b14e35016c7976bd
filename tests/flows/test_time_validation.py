"""From landed hours to ledger lines: what is right is posted once, what changes is corrected."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.support.scene import DAY, NOW, Scene, approve_shipped_rules, build_scene, complete_scene
from tests.support.target import (
    REFUSED_CONNECTION,
    FixedClock,
    LineTarget,
    OneConnector,
    OpenBudgets,
)

from tieline.canonical import Approval, TimeEntry
from tieline.casework import CaseSummary, list_cases, sync_time_cases
from tieline.intake import LandingPage, confirm_deletes, land
from tieline.kernel.errors import UserMistake
from tieline.policy import Override
from tieline.posting.lines import LinePoster
from tieline.reconciliation import read_places
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import Again, AtOnce, Done
from tieline.sdk import RawRecord, Translated
from tieline.services.period_close import PeriodBusy, PeriodClosed, close_period, reopen_period
from tieline.services.time_validation import TimeValidation
from tieline.validation import judge, mark_rejudge


class World:
    """A time tool, our database and a target that refuses a second key."""

    def __init__(self, owner: Database, worker: Database) -> None:
        self.owner = owner
        self.worker = worker
        self.target = LineTarget()
        with owner.transaction() as connection:
            self.scene: Scene = build_scene(connection)
            complete_scene(connection, self.scene)
            connection.execute("UPDATE release SET state = 'superseded'")
        self._approve_rules(owner)
        self.clock = FixedClock(NOW)
        self.flow = TimeValidation(
            database=worker,
            line_poster=LinePoster(
                database=worker,
                connectors=OneConnector(self.target),
                budgets=OpenBudgets(),  # type: ignore[arg-type]
                clock=self.clock,
            ),
            clock=self.clock,
        )
        self._minute = 0
        # What each body means, for whoever understands it again.
        self.told: dict[bytes, TimeEntry] = {}
        # Nothing of the setup is left to be looked at again.
        self.post()

    def _approve_rules(self, owner: Database, *overrides: Override) -> None:
        with owner.transaction() as connection:
            approve_shipped_rules(connection, overrides=overrides)

    def book(self, source_ref: str, seconds: int, **changed: Any) -> None:
        """Land one hour and let everything follow."""
        self._follow(self.land(source_ref, seconds, **changed))

    def land(self, source_ref: str, seconds: int, **changed: Any) -> int:
        """Land one hour and nothing more; return its batch."""
        self._minute += 1
        entry = TimeEntry(
            **{
                "person_ref": "u1",
                "project_ref": "p1",
                "task_ref": "t1",
                "labor_category": None,
                "work_date": DAY,
                "zone": "Europe/Berlin",
                "seconds": seconds,
                "quantum_seconds": 36,
                "started_at": None,
                "ended_at": None,
                "billable": True,
                "approval": Approval.APPROVED,
                "approval_word": "locked",
                "approver_ref": None,
                "approved_at": None,
                "created_at": NOW - timedelta(days=20),
                "narrative": f"work {source_ref}",
                **changed,
            }
        )
        record = RawRecord(
            object="time_entries",
            source_ref=source_ref,
            body=repr(entry).encode(),
            source_at=NOW + timedelta(minutes=self._minute),
        )
        self.told[record.body] = entry
        landed = land(
            self.worker,
            page=LandingPage(
                connection_key="harvest",
                source_epoch=0,
                stream="time_entries",
                kind="poll",
                records=[record],
                cursor="c",
                correlation_id="x",
            ),
            translate=lambda _: Translated(noun=entry),
            material_key=b"key",
            now=self.clock.now(),
        )
        return landed.batch_id

    def delete(self, source_ref: str, *, others: set[str]) -> None:
        """Let a record vanish from a complete read."""
        found = confirm_deletes(
            self.worker,
            connection_key="harvest",
            object="time_entries",
            seen=frozenset(("time_entries", ref) for ref in others),
            is_gone=lambda ref: ref == source_ref,
            now=NOW,
            correlation_id="d",
        )
        assert found.batch_id is not None
        self._follow(found.batch_id)

    def _follow(self, batch_id: int) -> None:
        self.judge(batch_id)
        self.post()

    def judge(self, batch_id: int) -> None:
        """Judge a batch and post nothing of it yet."""
        with self.worker.transaction() as connection:
            self.flow.batch_landed(connection, batch_id, "x")
        self.flow.judge_batch(AtOnce(), str(batch_id))

    def post(self) -> None:
        """Judge what waits and post until nothing is left."""
        for _ in range(20):
            self.flow.plan_left_out()
            self.flow.schedule_waiting()
            self._judge_batches()
            self.flow.judge_waiting(AtOnce(), "all")
            with self.worker.transaction() as connection:
                scopes = connection.execute(
                    "DELETE FROM work_item WHERE kind = 'post_lines' RETURNING subject"
                ).fetchall()
            if not scopes:
                return
            for row in scopes:
                done = self.flow.post_lines(AtOnce(), row["subject"])
                if done == Again(due_in_seconds=0) and not self.target.plan:
                    # What is above a cap follows what fills it.
                    done = self.flow.post_lines(AtOnce(), row["subject"])
                assert isinstance(done, Done) or self.target.plan

    def _judge_batches(self) -> None:
        with self.worker.transaction() as connection:
            batches = connection.execute(
                "DELETE FROM work_item WHERE kind = 'judge_batch' RETURNING subject"
            ).fetchall()
        for row in batches:
            self.flow.judge_batch(AtOnce(), row["subject"])

    def say(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement as the worker."""
        with self.worker.transaction() as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def case(self, reason: str) -> CaseSummary:
        """Return the one open case of a reason."""
        with self.worker.transaction() as connection:
            sync_time_cases(connection, now=self.clock.now(), correlation_id="c")
            (found,) = list_cases(connection, reason=reason)
        return found

    def close(self, leave_reason: str | None = None) -> PeriodClosed | PeriodBusy:
        """Close October."""
        with self.worker.transaction() as connection:
            return close_period(
                connection,
                period_id=self.scene.period_id,
                proposed_by="ann",
                approved_by="bob",
                leave_reason=leave_reason,
                now=self.clock.now(),
            )

    def reopen(self, approved_by: str = "bob") -> None:
        """Open October again."""
        with self.worker.transaction() as connection:
            reopen_period(
                connection,
                period_id=self.scene.period_id,
                proposed_by="ann",
                approved_by=approved_by,
                reason="a late correction",
                now=self.clock.now(),
            )

    @contextmanager
    def judging(self, batch_id: int) -> Iterator[None]:
        """Let a second worker be judging a batch: what it found is stored, and not yet committed."""
        with self.worker.transaction() as connection:
            mark_rejudge(connection, batch_id=batch_id, correlation_id="x", now=self.clock.now())
        with self.worker.transaction() as connection:
            judge(connection, batch_id=batch_id, clock=self.clock, correlation_id="x")
            connection.execute("UPDATE intake_batch SET state = 'judged'")
            yield

    def warn_only(self, code: str) -> None:
        """Approve a release in which a rule only warns."""
        self._approve_rules(
            self.owner,
            Override(
                code=code,
                entity_code=None,
                client_id=None,
                contract_id=None,
                starts_on=date(2026, 1, 1),
                ends_on=None,
                severity="warn",
                reason="a test",
            ),
        )

    def add_person(self, *, known_at: datetime = NOW) -> None:
        """Staff a second person like the first."""
        self.say(
            """
            WITH new AS (INSERT INTO person (recorded_at) VALUES (%(now)s) RETURNING person_id),
            job AS (INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate, starts_on,
                        recorded_at)
                    SELECT person_id, 'HR-DE', '78', true, 80, '2026-01-01', %(now)s FROM new),
            duty AS (INSERT INTO assignment (person_id, project_id, labor_category, starts_on, recorded_at)
                     SELECT person_id, %(project)s, 'Consultant', '2026-01-01', %(now)s FROM new)
            INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)
            SELECT k, n, r, person_id, s, 'a test', %(now)s FROM new,
                (VALUES ('harvest', 'person', 'u2', ''), ('tryton', 'employee', '78', 'HR-DE')) x (k, n, r, s)
            """.replace("%(now)s", f"'{known_at.isoformat()}'").replace(
                "%(project)s", f"'{self.scene.project_id}'::uuid"
            )
        )

    def invoice(self) -> None:
        """Put everything that is posted on an invoice, there and here."""
        self.target.invoiced |= set(self.target.lines)
        self.say(
            """
            WITH made AS (
                INSERT INTO invoice_record (contract_id, period_id, project_id, entity_code, business_key,
                    target_connection, target_code, number, state, currency, untaxed_amount, total_amount,
                    expected_amount, ledger_amount, recorded_at, correlation_id)
                SELECT contract_id, period_id, project_id, entity_code, business_key, target_connection, 'inv-1',
                    'INV/1', 'draft', 'EUR', 150, 150, 150, 150, booked_at, 'c' FROM ledger_line LIMIT 1
                RETURNING invoice_id)
            INSERT INTO invoice_ledger_line (business_key, invoice_id)
            SELECT business_key, invoice_id FROM ledger_line, made
            """
        )

    def places(self) -> dict[str, int]:
        with self.worker.transaction() as connection:
            return read_places(connection)[0]

    def posted(self) -> list[int]:
        return sorted(line.seconds for line in self.target.lines.values())

    def reasons(self) -> set[str]:
        with self.worker.transaction() as connection:
            sync_time_cases(connection, now=self.clock.now(), correlation_id="c")
            return {case.reason for case in list_cases(connection)}


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Any:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield World(owner, worker_database)
    owner.close()


@pytest.mark.sql
class TestTheFlow:
    def test_posts_an_approved_hour_once(self, world: World) -> None:
        world.book("1", 3600)
        world.book("2", 1800)
        world.post()

        assert world.posted() == [1800, 3600]
        assert world.places() == {"posted": 2}
        assert world.reasons() == set()

    def test_keeps_the_id_under_which_it_was_read(self, world: World) -> None:
        world.book("1", 3600)
        world.warn_only("time.narrative_missing")
        world.book("1", 1800)

        ids = world.say(
            "SELECT correlation_id FROM time_entry_version UNION SELECT correlation_id FROM verdict"
            " UNION SELECT correlation_id FROM effect UNION SELECT correlation_id FROM ledger_line"
        )

        assert ids == [{"correlation_id": "x"}]

    def test_holds_what_is_wrong_and_posts_it_once_it_is_healed(self, world: World) -> None:
        world.book("1", 316800)

        assert world.posted() == []
        assert world.reasons() == {"time.day_over_maximum"}
        world.book("1", 31680)
        assert world.posted() == [31680]
        assert world.reasons() == set()

    def test_keeps_time_that_is_not_approved_apart(self, world: World) -> None:
        world.book("1", 3600, approval=Approval.NOT_APPROVED)

        assert world.posted() == []
        assert world.places() == {"outside": 1}

    def test_corrects_an_edited_hour(self, world: World) -> None:
        world.book("1", 3600)

        world.book("1", 5400)

        assert world.posted() == [5400]
        assert world.places() == {"posted": 1}

    def test_takes_back_a_withdrawn_approval_and_a_deletion(self, world: World) -> None:
        world.book("1", 3600)
        world.book("2", 1800)

        world.book("1", 3600, approval=Approval.NOT_APPROVED)
        world.delete("2", others={"1"})

        assert world.posted() == []
        assert world.places() == {"outside": 2}

    def test_leaves_a_posted_hour_alone_when_only_its_words_change(self, world: World) -> None:
        world.book("1", 3600)
        calls = world.target.calls

        world.book("1", 3600, narrative="other words for it")

        assert world.target.calls == calls
        assert world.places() == {"posted": 1}

    def test_judges_unposted_neighbors_of_a_change_again(self, world: World) -> None:
        world.book("1", 50000, narrative="")
        world.book("2", 40000)

        assert world.posted() == []
        assert world.reasons() == {"time.day_over_maximum", "time.narrative_missing"}
        world.book("2", 3600)
        assert world.posted() == [3600]
        assert world.reasons() == {"time.narrative_missing"}

    def test_holds_the_second_of_two_equal_hours(self, world: World) -> None:
        world.book("1", 3600, narrative="the same")
        world.book("2", 3600, narrative="the same")

        assert world.posted() == [3600]
        assert world.reasons() == {"time.duplicate_content"}

    def test_holds_an_hour_of_an_unknown_project_with_one_reason(self, world: World) -> None:
        world.book("1", 3600, project_ref="p9", work_date=date(2026, 10, 6))

        assert world.reasons() == {"time.project_unknown"}


class TestChangeAfterPost:
    def test_moves_an_hour_to_another_person(self, world: World) -> None:
        world.add_person()
        world.book("1", 3600)

        world.book("1", 3600, person_ref="u2")

        assert [line.person_code for line in world.target.lines.values()] == ["78"]
        assert world.places() == {"posted": 1}

    def test_holds_an_hour_moved_to_a_project_that_takes_none_and_keeps_what_stands(
        self, world: World
    ) -> None:
        world.book("1", 3600)

        world.book("1", 3600, project_ref="p9")

        assert world.posted() == [3600]
        assert world.places() == {"held": 1}
        case = world.case("time.project_unknown")
        assert (case.seconds, str(case.amounts[0].amount)) == (3600, "150.00")

    @pytest.mark.parametrize("change", ["edit", "delete", "withdraw", "move"])
    def test_never_touches_an_invoiced_line_and_proposes_credit_and_rebill(
        self, world: World, change: str
    ) -> None:
        world.add_person()
        world.book("1", 3600)
        world.invoice()
        calls = world.target.calls

        _change(world, change)

        assert world.target.calls == calls
        assert world.posted() == [3600]
        case = world.case("posted.invoiced")
        assert (case.owner_queue, case.thing_key) == ("finance", "tryton:inv-1")
        assert case.details["credit"] == "150.00 EUR"
        rebill = {"edit": "75.00", "move": "150.00"}.get(change, "0")
        assert case.details["rebill"] == f"{rebill} EUR"
        assert world.reasons() == {"posted.invoiced"}

    def test_an_invoice_made_elsewhere_ends_in_the_same_case(self, world: World) -> None:
        world.book("1", 3600)
        world.target.invoiced |= set(world.target.lines)

        world.book("1", 1800)

        assert world.posted() == [3600]
        assert world.case("posted.invoiced").details["difference"] == "-75.00 EUR"
        assert world.reasons() == {"posted.invoiced"}

    def test_closes_the_case_when_the_change_is_taken_back(self, world: World) -> None:
        world.book("1", 3600)
        world.invoice()
        world.book("1", 1800)
        assert world.reasons() == {"posted.invoiced"}

        world.book("1", 3600)

        assert world.reasons() == set()
        assert world.places() == {"posted": 1}

    @pytest.mark.parametrize("change", ["edit", "delete", "withdraw", "move"])
    def test_changes_nothing_in_a_closed_period_until_it_is_opened_again(
        self, world: World, change: str
    ) -> None:
        world.add_person()
        world.book("1", 3600)
        assert isinstance(world.close(), PeriodClosed)

        _change(world, change)

        assert world.posted() == [3600]
        case = world.case("time.period_closed")
        assert (case.seconds, str(case.amounts[0].amount)) == (3600, "150.00")
        world.reopen()
        world.post()
        assert world.posted() == {"edit": [1800], "move": [3600]}.get(change, [])
        assert world.reasons() == set()


def _change(world: World, change: str) -> None:
    match change:
        case "edit":
            world.book("1", 1800)
        case "delete":
            world.delete("1", others=set())
        case "withdraw":
            world.book("1", 3600, approval=Approval.NOT_APPROVED)
        case "move":
            world.book("1", 3600, person_ref="u2")


class TestThePeriod:
    def test_does_not_close_over_a_write_that_nobody_confirmed(self, world: World) -> None:
        world.target.plan = [REFUSED_CONNECTION] * 30
        world.book("1", 3600)
        world.say("UPDATE effect SET state = 'INTENT', payload_hash = 'x' WHERE state = 'PLANNED'")

        busy = world.close(leave_reason="it is late")

        assert isinstance(busy, PeriodBusy)
        assert [(each.what, each.seconds) for each in busy.in_flight] == [("unconfirmed", 3600)]

    def test_says_what_it_leaves_behind_and_holds_it(self, world: World) -> None:
        world.target.plan = [REFUSED_CONNECTION] * 30
        world.book("1", 3600)
        assert isinstance(world.close(), PeriodBusy)

        closed = world.close(leave_reason="the target is down")
        world.target.plan.clear()
        world.post()

        assert isinstance(closed, PeriodClosed)
        assert [(each.what, each.items) for each in closed.left_behind] == [("pending", 1)]
        assert world.posted() == []
        assert world.reasons() == {"time.period_closed"}

    def test_takes_two_people_to_open_again_and_is_audited(self, world: World) -> None:
        world.close()

        with pytest.raises(UserMistake):
            world.reopen(approved_by="Ann")

        world.reopen()
        audited = world.say(
            "SELECT action, actor, data ->> 'proposed_by' AS proposed_by FROM audit"
            " WHERE action LIKE 'period.%%' ORDER BY audit_id"
        )
        assert audited == [
            {"action": "period.closed", "actor": "bob", "proposed_by": "ann"},
            {"action": "period.reopened", "actor": "bob", "proposed_by": "ann"},
        ]

    def test_tells_what_happened_to_it_once(self, world: World) -> None:
        world.close()
        world.reopen()

        told = world.say(
            "SELECT e.type, e.subject_id, e.entity_code, e.occurred_at FROM event e"
            " WHERE e.subject_kind = 'period' ORDER BY e.event_id"
        )
        assert [row["type"] for row in told] == ["period.closed", "period.reopened"]
        assert {(row["subject_id"], row["entity_code"], row["occurred_at"]) for row in told} == {
            (str(world.scene.period_id), "HR-DE", NOW)
        }


@pytest.mark.sql
class TestATargetThatIsPausedOrObserved:
    def test_gets_no_hour_and_gives_none_back_until_it_acts(self, world: World) -> None:
        world.book("1", 3600)
        world.say("UPDATE connection SET paused = true WHERE connection_key = 'tryton'")
        world.delete("1", others=set())
        world.book("2", 1800)
        calls = world.target.calls

        for shut in ("paused = true", "mode = 'observe', paused = false", "mode = 'propose'"):
            world.say(f"UPDATE connection SET {shut} WHERE connection_key = 'tryton'")
            world.post()

            # Everything is computed, and nothing is written.
            assert (world.posted(), world.target.calls) == ([3600], calls)
            assert world.places() == {"leaving": 1, "pending": 1}

        world.say("UPDATE connection SET mode = 'act' WHERE connection_key = 'tryton'")
        world.post()

        assert world.posted() == [1800]


class TestWhatWaits:
    def test_is_judged_again_as_soon_as_its_person_is_linked(self, world: World) -> None:
        world.book("1", 3600, person_ref="u3")
        assert world.reasons() == {"time.person_unknown"}

        world.say(
            "UPDATE crosswalk SET source_ref = 'u3'"
            " WHERE connection_key = 'harvest' AND noun = 'person'"
        )
        world.post()

        assert world.posted() == [3600]
        assert world.reasons() == set()

    def test_is_held_when_it_is_parked_too_long_and_heals(self, world: World) -> None:
        world.say("UPDATE crosswalk SET source_ref = '0' WHERE noun = 'erp_task'")
        world.say("UPDATE crosswalk SET noun = 'gone' WHERE noun = 'erp_task'")
        world.book("1", 3600)
        assert world.places() == {"pending": 1}
        assert world.say("SELECT owner_queue, due_at FROM entry_place") == [
            {"owner_queue": "integration", "due_at": NOW + timedelta(hours=1)}
        ]

        world.clock.instant = NOW + timedelta(hours=2)
        world.post()
        assert world.places() == {"held": 1}
        assert world.reasons() == {"time.erp_link_missing"}

        world.say("UPDATE crosswalk SET noun = 'erp_task' WHERE noun = 'gone'")
        world.post()
        assert world.posted() == [3600]
        assert world.reasons() == set()

    def test_is_held_when_the_target_does_not_take_it_for_a_day(self, world: World) -> None:
        world.target.plan = [REFUSED_CONNECTION] * 30
        world.book("1", 3600)
        assert world.reasons() == set()
        assert world.places() == {"pending": 1}

        world.clock.instant = NOW + timedelta(hours=25)

        assert world.reasons() == {"time.waiting_too_long"}
        assert world.places() == {"held": 1}
        world.target.plan.clear()
        world.say("UPDATE effect SET due_at = NULL")
        world.post()
        assert world.posted() == [3600]
        assert world.reasons() == set()
        assert world.places() == {"posted": 1}

    def test_for_its_day_is_judged_again_once_it_has_come(self, world: World) -> None:
        with world.owner.transaction() as connection:
            connection.execute(
                "INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)"
                " VALUES ('HR-DE', '2026-11', '2026-11-01', '2026-12-01', 'open', %s)",
                (NOW + timedelta(days=30),),
            )
        world.book("1", 3600, work_date=date(2026, 11, 10))
        assert world.reasons() == {"time.work_date_in_future"}

        world.clock.instant = datetime(2026, 11, 9, 22, 59, tzinfo=UTC)
        world.post()
        assert world.posted() == []
        # It is that day in Berlin.
        world.clock.instant += timedelta(minutes=1)
        world.post()
        assert world.posted() == [3600]
        assert world.reasons() == set()

    def test_to_be_taken_back_stays_when_it_is_invoiced_before(self, world: World) -> None:
        world.book("1", 3600)
        world.say("UPDATE connection SET mode = 'observe' WHERE connection_key = 'tryton'")
        world.book("1", 1800)
        assert world.say("SELECT state FROM effect WHERE kind = 'void'") == [{"state": "PLANNED"}]

        world.invoice()
        world.say("UPDATE connection SET mode = 'act' WHERE connection_key = 'tryton'")
        world.post()

        assert world.posted() == [3600]
        assert world.reasons() == {"posted.invoiced"}
        (credit,) = world.say("SELECT credit_amount, rebill_amount FROM credit_proposal")
        assert (credit["credit_amount"], credit["rebill_amount"]) == (150, 75)

    def test_is_taken_up_when_a_process_died_after_landing(self, world: World) -> None:
        world.land("1", 3600)

        world.post()

        assert world.posted() == [3600]

    def test_says_why_it_is_shown_apart(self, world: World) -> None:
        world.book("1", 3600, approval=Approval.NOT_APPROVED)
        world.book("2", 3600, work_date=date(2026, 8, 31))

        rows = world.say("SELECT place, because FROM entry_place ORDER BY because")

        assert [(row["place"], row["because"]) for row in rows] == [
            ("outside", "before_go_live"),
            ("outside", "not_approved"),
        ]
        assert world.posted() == []


def _link(world: World) -> None:
    world.add_person()


def _reopen(world: World) -> None:
    world.reopen()


def _warn(world: World) -> None:
    world.warn_only("time.narrative_missing")


class TestTwoAtOnce:
    """What changes while a judge is at work, who cannot know it yet."""

    @pytest.mark.parametrize(
        ("changed", "is_closed", "heal"),
        [
            ({"person_ref": "u2"}, False, _link),
            ({}, True, _reopen),
            ({"narrative": None}, False, _warn),
        ],
        ids=["reference", "period", "release"],
    )
    def test_is_looked_at_again_by_who_comes_after(
        self,
        world: World,
        changed: dict[str, Any],
        is_closed: bool,
        heal: Callable[[World], None],
    ) -> None:
        if is_closed:
            assert isinstance(world.close(), PeriodClosed)
        with world.judging(world.land("1", 3600, **changed)):
            heal(world)
            after = threading.Thread(
                target=world.flow.judge_waiting, args=(AtOnce(), "all"), daemon=True
            )
            after.start()
            _wait_for_a_waiting_judge(world)
        after.join()
        world.post()

        assert world.posted() == [3600]
        assert world.reasons() == set()

    def test_leaves_the_room_of_what_falls_meanwhile_to_one(self, world: World) -> None:
        world.say("UPDATE contract_version SET cap_amount = 150")
        world.say("UPDATE connection SET mode = 'observe' WHERE connection_key = 'tryton'")
        world.book("late", 3600, work_date=DAY + timedelta(days=1))
        for state in ("INTENT", "UNKNOWN", "PROBING"):
            world.say(f"UPDATE effect SET state = '{state}', payload_hash = 'x'")
        world.book("early", 3600)
        assert world.reasons() == {"time.cap_exceeded"}

        # The target proves to have nothing of the later one while somebody looks at the cap.
        with world.worker.transaction() as connection:
            judge(
                connection,
                neighbor_keys=[f"cap:{world.scene.contract_id}"],
                clock=Falling(world),
                correlation_id="x",
            )
        world.say("UPDATE connection SET mode = 'act' WHERE connection_key = 'tryton'")
        world.post()

        # It belongs to the earlier day again.
        (posted,) = world.target.lines.values()
        assert posted.work_date == DAY

    def test_counts_also_when_it_is_committed_after_the_judge(self, world: World) -> None:
        with world.judging(world.land("1", 3600, person_ref="u2")):
            changing = threading.Barrier(2)

            def change() -> None:
                with world.owner.transaction() as connection:
                    connection.execute(
                        "UPDATE crosswalk SET source_ref = 'u2'"
                        " WHERE connection_key = 'harvest' AND noun = 'person'"
                    )
                    changing.wait()
                    changing.wait()

            second = threading.Thread(target=change)
            second.start()
            changing.wait()
        assert world.reasons() == {"time.person_unknown"}
        changing.wait()
        second.join()
        world.post()

        assert world.posted() == [3600]

    def test_stays_marked_while_the_judge_has_an_older_instant(self, world: World) -> None:
        world.book("1", 3600, person_ref="u2")
        world.add_person(known_at=NOW + timedelta(seconds=2))
        world.post()
        assert world.posted() == []

        world.clock.instant = NOW + timedelta(seconds=3)
        world.post()

        assert world.posted() == [3600]


@dataclass(frozen=True, slots=True)
class Falling:
    """A clock at whose reading something is found out about what was lost."""

    world: World

    def now(self) -> datetime:
        self.world.say("UPDATE effect SET state = 'ABSENT' WHERE state = 'PROBING'")
        return NOW


def _wait_for_a_waiting_judge(world: World) -> None:
    deadline = time.monotonic() + 20
    while not world.say("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
