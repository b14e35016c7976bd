"""The real posting and ledger against the reference ledger, step by step, while everything fails.

``MODEL_EXAMPLES=300 MODEL_STEPS=40 pytest tests/promises/model`` looks longer, and elsewhere each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import PreparedCluster, new_database
from tests.promises.model.town import CURRENCY, RATE, Town
from tests.support.books import SEARCHES, failing_books
from tieline.posting.lines import LinePoster, Scope
from tieline.proof.books import SYSTEMS
from tieline.reconciliation import OWN_CHECKS, look_at_own_books, read_places, sum_currencies
from tieline.reconciliation.model import (
    SETTLED_STATES,
    Hour,
    Judgment,
    Place,
    ReferenceLedger,
    Terms,
    steps_not_allowed,
)
from tieline.runtime.database import Database
from tieline.sandbox.books import Items

EXAMPLES = os.environ.get("MODEL_EXAMPLES")
STEPS = int(os.environ.get("MODEL_STEPS", "12"))
PROFILES = (
    ["unique", "batch"] if EXAMPLES is None else [name for name in SYSTEMS if name != "naive-erp"]
)
NEVER_TAKEN = 36
_PLACED_OTHERWISE = """
    (TABLE entry_place EXCEPT TABLE entry_places) UNION ALL (TABLE entry_places EXCEPT TABLE entry_place)
"""
REFS = st.sampled_from([f"e{number}" for number in range(6)])
LENGTHS = st.sampled_from([900, 1800, 3636, 5400, 7200, NEVER_TAKEN])
WRITE_FAULTS = st.sampled_from(
    ["answer_lost", "late_commit", "refuse_503_before", "rate_limit_429", "truncated_body",
     "token_expired", "html_page", "drifted"]
)  # fmt: skip
SEARCH_FAULTS = st.sampled_from(["refuse_503_before", "truncated_body", "html_page"])
DEATHS = st.sampled_from(
    ["lines.after_intent", "lines.after_answer", "lines.after_read_back", "lines.after_record",
     "lines.before_probe", "lines.after_probe", "voids.after_intent", "voids.after_answer"]
)  # fmt: skip


class Machine(RuleBasedStateMachine):
    """Work on one town; it is left empty for the next example."""

    town: Town

    @initialize()
    def begin(self) -> None:
        self.model = ReferenceLedger(
            terms=Terms(rate=RATE, currency=CURRENCY, takes=lambda seconds: seconds != NEVER_TAKEN)
        )

    @rule(ref=REFS, seconds=LENGTHS)
    def work(self, ref: str, seconds: int) -> None:
        self._tell(ref, Hour(seconds=seconds))

    @rule(ref=REFS, seconds=LENGTHS)
    def name_a_person_nobody_knows(self, ref: str, seconds: int) -> None:
        self._tell(ref, Hour(seconds=seconds, judgment=Judgment.HELD))

    @rule(ref=REFS)
    def withdraw_the_approval(self, ref: str) -> None:
        if ref in self.model.newest:
            self._tell(ref, Hour(seconds=self.model.newest[ref].seconds, is_approved=False))

    @rule(ref=REFS)
    def delete(self, ref: str) -> None:
        if ref in self.model.newest:
            self._tell(ref, Hour(seconds=self.model.newest[ref].seconds, is_deleted=True))

    @rule(ref=REFS)
    def tell_again(self, ref: str) -> None:
        if ref in self.model.newest:
            self._tell(ref, self.model.newest[ref])

    @rule(ref=REFS, seconds=LENGTHS)
    def tell_late_what_was_long_ago(self, ref: str, seconds: int) -> None:
        if ref in self.model.newest:
            self.town.land({ref: Hour(seconds=seconds)}, minutes_ago=100_000)

    @rule(fault=WRITE_FAULTS, occurrence=st.integers(1, 2))
    def fail_a_write(self, fault: str, occurrence: int) -> None:
        self.town.books.fail(fault, delay_ms=10, hold_ms=2, occurrences=[occurrence])

    @rule(fault=SEARCH_FAULTS)
    def fail_a_question(self, fault: str) -> None:
        self.town.books.fail(fault, path=SEARCHES, name="question")

    @rule(
        places=st.frozensets(st.integers(0, 2)), shown=st.integers(0, 3), chance=st.integers(0, 9)
    )
    def answer_in_part(self, places: frozenset[int], shown: int, chance: int) -> None:
        self.town.books.books.items = Items(
            refused=places,
            is_for_now=True,
            answers_max=shown,
            shuffle=Random(chance),
        )

    @rule(point=DEATHS)
    def die(self, point: str) -> None:
        self.town.dies_at = point

    @rule()
    def drain(self) -> None:
        self.town.drain()
        self.model.settle()
        self._compare()

    def _tell(self, ref: str, hour: Hour) -> None:
        self.town.land({ref: hour})
        self.model.change(ref, hour)

    def _compare(self) -> None:
        standing = {
            ref: each for ref, each in self.town.standing().items() if ref in self.model.newest
        }
        assert self.model.differences(standing) == []
        assert self.town.states() <= SETTLED_STATES
        with self.town.worker.transaction() as connection:
            for check in OWN_CHECKS:
                assert look_at_own_books(connection, check=check) == ()
            sums = [each for each in sum_currencies(connection) if each.ledger_seconds]
            _, seconds = read_places(connection)
            # An hour is where it is, whether it is looked up or counted with all the others.
            assert connection.execute(_PLACED_OTHERWISE).fetchall() == []
        assert (
            sum((each.ledger_amount for each in sums), Decimal(0)) == (self.model.sums()[CURRENCY])
        )
        places = self.model.seconds_by_place()
        assert {place: seconds.get(place, 0) for place in places} == places

    @invariant()
    def nothing_below_zero(self) -> None:
        assert all(seconds >= 0 for seconds in self.town._in_books().values())

    def teardown(self) -> None:
        self.drain()
        self.town.dies_at = None
        self.town.books.be_well()
        for ref, hour in list(self.model.newest.items()):
            self._tell(ref, Hour(seconds=hour.seconds, is_deleted=True))
        self.drain()
        assert {each.target_seconds for each in self.town.standing().values()} <= {0}


@pytest.fixture
def town(prepared_cluster: PreparedCluster, request: pytest.FixtureRequest) -> Iterator[Town]:
    profile: str = request.param
    with new_database(prepared_cluster) as dsns, failing_books(profile) as books:
        worker = Database(dsns.worker, pool_max=2, application_name="test").open()
        owner = Database(dsns.owner, pool_max=2, application_name="test-owner").open()
        books.books.never_taken = frozenset({NEVER_TAKEN})
        yield Town.build(worker, owner, books)
        worker.close()
        owner.close()


def look(town: Town, *, examples: int) -> None:
    """Let the machine work in a town."""
    run_state_machine_as_test(
        type("Here", (Machine,), {"town": town}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            derandomize=EXAMPLES is None,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            # A found fault is told at once in CI; shrinking it is for the long run.
            phases=[Phase.generate] if EXAMPLES is None else [Phase.generate, Phase.shrink],
        ),
    )


class TestTheRealThing:
    @pytest.mark.parametrize("town", PROFILES, indirect=True)
    def test_stands_as_the_reference_ledger_does(self, town: Town) -> None:
        look(town, examples=int(EXAMPLES or 3))

        assert steps_not_allowed(town.steps()) == []

    @pytest.mark.parametrize("town", ["probe"], indirect=True)
    def test_is_seen_to_differ_where_nobody_asks(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settle = LinePoster._settle

        def settle_unasked(self: LinePoster, scope: Scope, rows: Any, _found: Any) -> Any:
            return settle(self, scope, rows, [])

        monkeypatch.setattr(LinePoster, "_settle", settle_unasked)

        with pytest.raises(AssertionError):
            look(town, examples=40)


class TestTheReferenceLedger:
    def ledger(self, *, can_undo: bool = True) -> ReferenceLedger:
        return ReferenceLedger(terms=Terms(rate=RATE, currency=CURRENCY, can_undo=can_undo))

    def test_conserves_every_second_of_the_population(self) -> None:
        model = self.ledger()
        for number, judgment in enumerate(Judgment):
            model.change(f"e{number}", Hour(seconds=900, judgment=judgment))
        model.change("file", Hour(seconds=900))
        model.hand_over("file")
        model.change("gone", Hour(seconds=900, is_deleted=True))

        assert model.seconds_by_place() == {Place.PENDING: 3600}
        model.settle()

        assert model.seconds_by_place() == dict.fromkeys(
            (Place.POSTED, Place.HELD, Place.EXCLUDED, Place.HANDED_OVER), 900
        )
        assert model.sums() == {CURRENCY: Decimal("37.50")}

    @pytest.mark.parametrize(("can_undo", "place"), [(True, "outside"), (False, "leaving")])
    def test_leaves_nothing_behind_that_can_be_taken_back(self, can_undo: bool, place: str) -> None:
        model = self.ledger(can_undo=can_undo)
        model.change("e1", Hour(seconds=900))
        model.settle()
        model.change("e1", Hour(seconds=900, is_approved=False))
        model.settle()

        assert model.standing()["e1"].place == place
        assert model.differences({}) == [f"e1: None stands for {model.standing()['e1']}"]

    def test_tells_a_step_that_nobody_may_take(self) -> None:
        assert "UNKNOWN to INTENT" in steps_not_allowed({"UNKNOWN": frozenset({"INTENT"})})
