"""What was received is understood and judged again: what is right does not change, ever."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.test_time_validation import World
from tests.support.scene import DAY, NOW
from tests.support.target import OneConnector

from tieline.canonical import Approval, TimeEntry
from tieline.casework import list_cases
from tieline.governance import Proposal
from tieline.intake import LandingPage, Slice, land
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import AtOnce
from tieline.sdk import RawRecord, Translated, Untranslatable
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.replaying import (
    OVERTAKEN,
    REPLAY,
    Moved,
    Replaying,
    ReplayPlan,
    must_see,
    propose_replay,
)
from tieline.services.standing_checks import StandingChecks

_ROUNDS = 4
_TABLES: Mapping[str, str] = {
    "verdict": "SELECT verdict_id, entry_id, version, outcome, amount FROM verdict ORDER BY 1",
    "effect": "SELECT business_key, effect_no, kind, state, attempt FROM effect ORDER BY 1",
    "ledger_line": "SELECT line_id, business_key, seconds, amount FROM ledger_line ORDER BY 1",
    "version": "SELECT entry_id, version, is_newest, is_deleted, seconds, material_hash"
    " FROM time_entry_version ORDER BY 1, 2",
    "raw_record": "SELECT raw_id, source_ref, raw_hash FROM raw_record ORDER BY 1",
    "rejudge": "SELECT neighbor_key FROM rejudge",
    "untranslated": "SELECT source_ref, raw_id, healed_at FROM untranslated",
}
ALL = Slice(connection_key="harvest")


class Translator:
    """Understand bodies as they were meant, but for what a test changes about it."""

    def __init__(self, told: Mapping[bytes, TimeEntry]) -> None:
        self.told = told
        self.change: Callable[[TimeEntry], TimeEntry] = lambda hour: hour

    def translate(self, *, record: RawRecord) -> Translated | Untranslatable:
        if record.body not in self.told:
            return Untranslatable(reason="translate.field_missing", message="no person")
        return Translated(noun=self.change(self.told[record.body]))


class Inbox:
    """Hours with a past: corrected, back again, withdrawn, deleted, told late, not understood."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.translator = Translator(world.told)
        self.replaying = Replaying(
            database=world.worker,
            connectors=OneConnector(self.translator),
            time_validation=world.flow,
            material_key=b"key",
            clock=world.clock,
        )
        for number in range(4):
            world.land(f"plain-{number}", 3600 + 36 * number)
        for source_ref, seconds in (
            ("there-and-back", 1800),
            ("withdrawn", 720),
            ("deleted", 1080),
        ):
            world.land(source_ref, seconds)
        world.land("held", 360, project_ref="nobody knows it")
        world.post()
        world.land("there-and-back", 5400)
        world.land("withdrawn", 720, approval=Approval.NOT_APPROVED)
        world.post()
        world.land("there-and-back", 1800)
        self._told_late("plain-0", 9000)
        self._not_understood("unclear")
        world.delete("deleted", others={each for each in self.refs if each != "deleted"})
        # What was corrected is judged once more when it is done, by whoever comes next.
        world.say(
            "INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)"
            " SELECT 'entry:' || entry_id, 'test', 'x', %s FROM time_entry",
            NOW,
        )
        world.post()

    refs = (
        "plain-0", "plain-1", "plain-2", "plain-3", "there-and-back", "withdrawn", "held", "deleted",
        "unclear",
    )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        tables = {name: self.world.say(statement) for name, statement in _TABLES.items()}
        return {**tables, "calls": self.world.target.calls, "lines": dict(self.world.target.lines)}

    def plan(self, slice: Slice = ALL) -> ReplayPlan:
        return self.replaying.plan(slice=slice)

    def apply(self, plan: ReplayPlan) -> None:
        self.replaying.apply(plan=plan, by="ann", through="", reason="a test")
        self.world.post()

    def agree(self, plan: ReplayPlan) -> Proposal:
        """Let one person propose a replay and another approve it."""
        with self.world.worker.transaction() as connection:
            proposal = propose_replay(
                connection, plan=plan, entities=("HR-DE",), by="ann", through="",
                reason="the mapping was wrong", now=NOW,
            )  # fmt: skip
            return approve_and_carry_out(
                connection,
                proposal_id=proposal.proposal_id,
                reason="",
                by=Decider(login="bob"),
                connectors=OneConnector(self.translator),
                now=NOW,
            ).proposal

    def work(self) -> None:
        """Do what a worker does with what was agreed to."""
        asked = self.world.say("SELECT subject FROM work_item WHERE kind = %s", REPLAY)
        for row in asked:
            self.replaying.run_approved(AtOnce(), row["subject"])
        self.world.post()

    def _told_late(self, source_ref: str, seconds: int) -> None:
        hour = replace(self.world.told[self._body("plain-0")], seconds=seconds)
        body = repr(hour).encode()
        self.world.told[body] = hour
        self._land(source_ref, body, minutes=-60, result=Translated(noun=hour))

    def _not_understood(self, source_ref: str) -> None:
        unclear = Untranslatable(reason="translate.field_missing", message="no person")
        self._land(source_ref, b"?", minutes=0, result=unclear)

    def _land(
        self, source_ref: str, body: bytes, *, minutes: int, result: Translated | Untranslatable
    ) -> None:
        record = RawRecord(
            object="time_entries",
            source_ref=source_ref,
            body=body,
            source_at=NOW + timedelta(minutes=minutes),
        )
        page = LandingPage(
            connection_key="harvest", source_epoch=0, stream="time_entries", kind="poll",
            records=[record], cursor="c", correlation_id="x",
        )  # fmt: skip
        land(self.world.worker, page=page, translate=lambda _: result, material_key=b"key", now=NOW)

    def _body(self, source_ref: str) -> bytes:
        (row,) = self.world.say("SELECT body FROM raw_record WHERE source_ref = %s", source_ref)
        return bytes(row["body"])


@pytest.fixture
def inbox(database: Dsns, worker_database: Database) -> Iterator[Inbox]:
    owner = Database(database.owner, pool_max=2).open()
    yield Inbox(World(owner, worker_database))
    owner.close()


class TestAReplay:
    def test_of_any_slice_in_any_order_and_number_changes_nothing_that_is_right(
        self, inbox: Inbox
    ) -> None:
        before = inbox.snapshot()
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        slices = [ALL, ALL, *(_any_slice(chance, inbox.refs) for _ in range(_ROUNDS))]
        chance.shuffle(slices)

        for part in slices:
            try:
                plan = inbox.plan(part)
            except UserMistake:
                continue  # Nothing is in it.
            assert not plan.needs_second_person, (seed, part)
            assert plan.unchanged + plan.not_understood + plan.gone_at_source == plan.records
            assert inbox.snapshot() == before, (seed, part)
            inbox.apply(plan)
            assert inbox.snapshot() == before, (seed, part)

        # Corrected, taken back, deleted, withdrawn, not understood: our own books agree with all of it.
        checks = StandingChecks(database=inbox.world.worker, clock=inbox.world.clock)
        assert checks.look() == 0
        audited = inbox.world.say("SELECT action, actor, reason FROM audit WHERE actor = 'ann'")
        assert {tuple(row.values()) for row in audited} >= {("inbox.replayed", "ann", "a test")}

    def test_counts_what_it_leaves_alone_and_takes_a_new_way_of_hashing_for_no_change(
        self, inbox: Inbox
    ) -> None:
        good = inbox.snapshot()
        inbox.world.say("DELETE FROM raw_record WHERE source_ref = 'held'")
        inbox.world.say("UPDATE time_entry_version SET material_version = 0, material_hash = ''")

        plan = inbox.plan()
        inbox.apply(plan)

        assert (plan.records, plan.unchanged, plan.not_understood, plan.gone_at_source) == (
            8,
            6,
            1,
            1,
        )
        assert (plan.newer_versions, plan.moved, plan.entities) == (0, (), ("HR-DE",))
        newest = (
            "SELECT material_hash FROM time_entry_version WHERE is_newest AND material_version = 1"
        )
        hashes = [row["material_hash"] for row in inbox.world.say(newest)]
        was = [row["material_hash"] for row in good["version"] if row["is_newest"]]
        assert set(hashes) <= set(was)
        assert inbox.snapshot()["effect"] == good["effect"]


class TestAReplayThatMovesMoney:
    @pytest.fixture
    def mended(self, inbox: Inbox) -> Inbox:
        """Understand one hour otherwise than it was understood."""
        inbox.translator.change = lambda hour: (
            replace(hour, seconds=7200) if hour.seconds == 3636 else hour
        )
        return inbox

    def test_is_told_beforehand_needs_a_second_person_and_happens_once(self, mended: Inbox) -> None:
        before = mended.snapshot()
        seconds = sum(line.seconds for line in before["lines"].values())

        plan = mended.plan()

        assert mended.snapshot() == before
        assert (plan.newer_versions, plan.verdicts) == (1, {"correct": 1})
        assert plan.moved == (
            Moved(
                what="taken_back", currency="EUR", lines=1, seconds=3636, amount=Decimal("151.50")
            ),
        )
        with pytest.raises(UserMistake, match="second person"):
            mended.replaying.apply(plan=plan, by="ann", through="", reason="a test")
        with pytest.raises(LookupError, match="out of sight"):
            must_see(plan, ("another",))

        mended.agree(plan)
        mended.work()
        after = mended.snapshot()
        mended.work()

        assert mended.snapshot() == after
        assert sum(line.seconds for line in after["lines"].values()) == seconds + 7200 - 3636
        assert not mended.plan().needs_second_person

    def test_is_not_done_when_it_would_do_something_else_by_now(self, mended: Inbox) -> None:
        agreed = mended.agree(mended.plan())
        mended.world.book("plain-1", 4000)
        before = mended.snapshot()

        mended.work()

        assert mended.snapshot() == before
        with mended.world.worker.transaction() as connection:
            (case,) = list_cases(connection, reason=OVERTAKEN)
        assert str(agreed.proposal_id) in case.thing_key


def _any_slice(chance: random.Random, refs: tuple[str, ...]) -> Slice:
    some = tuple(chance.sample(refs, chance.randint(1, len(refs)))) if chance.random() < 0.7 else ()
    since = chance.choice((None, date(2026, 1, 1), NOW.date()))
    is_of_month = chance.random() < 0.3
    return Slice(
        connection_key="harvest",
        object=chance.choice((None, "time_entries")),
        since=since,
        until=chance.choice((None, date(2027, 1, 1))),
        worked_since=DAY.replace(day=1) if is_of_month else None,
        worked_until=date(2026, 11, 1) if is_of_month else None,
        refs=some,
    )
