"""From landed hours to ledger lines: what is right is posted once, what changes is corrected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from tests.support.scene import DAY, NOW, Scene, build_scene, complete_scene
from tests.support.target import FixedClock, LineTarget, OneConnector, OpenBudgets

from tieline.canonical import Approval, TimeEntry
from tieline.casework import list_cases, sync_time_cases
from tieline.intake import LandingPage, confirm_deletes, land
from tieline.posting.lines import LinePoster
from tieline.reconciliation import read_places
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import Done
from tieline.sdk import RawRecord, Translated
from tieline.services.time_validation import TimeValidation
from tieline.validation.books import builtin_rules, builtin_values

pytestmark = pytest.mark.sql


class DirectSteps:
    """Run steps at once, as a workflow does without its memory."""

    def run(self, name: str, function: Callable[[], Any]) -> Any:
        return function()


class World:
    """A time tool, our database and a target that refuses a second key."""

    def __init__(self, owner: Database, worker: Database) -> None:
        self.worker = worker
        self.target = LineTarget()
        with owner.transaction() as connection:
            self.scene: Scene = build_scene(connection)
            complete_scene(connection, self.scene)
            connection.execute("UPDATE release SET state = 'superseded'")
        self._approve_rules(owner)
        self.flow = TimeValidation(
            database=worker,
            line_poster=LinePoster(
                database=worker,
                connectors=OneConnector(self.target),
                budgets=OpenBudgets(),  # type: ignore[arg-type]
                clock=FixedClock(NOW),
            ),
            clock=FixedClock(NOW),
        )
        self._minute = 0

    def _approve_rules(self, owner: Database) -> None:
        from tieline.policy import approve_release, draft_release

        with owner.transaction() as connection:
            release_id = draft_release(
                connection,
                title="rules",
                rules=builtin_rules(),
                values=builtin_values(),
                overrides=(),
                proposed_by="ann",
                reason="a test",
                now=NOW,
            )
            approve_release(connection, release_id=release_id, approved_by="bob", now=NOW)

    def book(self, source_ref: str, seconds: int, **changed: Any) -> None:
        """Land one hour and let everything follow."""
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
            now=NOW,
        )
        self._follow(landed.batch_id)

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
        with self.worker.transaction() as connection:
            self.flow.batch_landed(connection, batch_id, "x")
        self.flow.judge_batch(DirectSteps(), str(batch_id))
        self.post()

    def post(self) -> None:
        """Judge what waits and post until nothing is left."""
        for _ in range(20):
            self.flow.judge_waiting(DirectSteps(), "all")
            self.flow.schedule_waiting()
            with self.worker.transaction() as connection:
                scopes = connection.execute(
                    "DELETE FROM work_item WHERE kind = 'post_lines' RETURNING subject"
                ).fetchall()
            if not scopes:
                return
            for row in scopes:
                assert isinstance(self.flow.post_lines(DirectSteps(), row["subject"]), Done)

    def places(self) -> dict[str, int]:
        with self.worker.transaction() as connection:
            return read_places(connection)[0]

    def posted(self) -> list[int]:
        return sorted(line.seconds for line in self.target.lines.values())

    def reasons(self) -> set[str]:
        with self.worker.transaction() as connection:
            sync_time_cases(connection, now=NOW, correlation_id="c")
            return {case.reason for case in list_cases(connection)}


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Any:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield World(owner, worker_database)
    owner.close()


class TestTheFlow:
    def test_posts_an_approved_hour_once(self, world: World) -> None:
        world.book("1", 3600)
        world.book("2", 1800)
        world.post()

        assert world.posted() == [1800, 3600]
        assert world.places() == {"posted": 2}
        assert world.reasons() == set()

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
