"""Every declared strategy and undo form, against books that allow what they do not forbid.

``a`` native, ``b`` upsert, ``c`` unique, ``d`` probe, ``e`` batch, ``f`` naive-erp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

import pytest

from tests.support.books import SEARCHES, WRITES, FailingBooks, Posting, failing_books
from tests.support.scene import NOW, Scene, add_hours, add_version, build_scene
from tests.support.target import FixedClock
from tieline.kernel.errors import AskPerson
from tieline.posting.lines import Scope
from tieline.runtime.database import Database
from tieline.sandbox.books import PROFILES, Items

SENT, LOST, REFUSED_AT_THE_DOOR = "CONFIRMED", "UNKNOWN", "PLANNED"

# What befalls the write, and what is known of it right afterwards, where the target can be asked.
FAULTS: dict[str, str] = {
    "refuse_503_before": LOST,
    "answer_lost": LOST,
    "late_commit": LOST,
    "rate_limit_429": REFUSED_AT_THE_DOOR,
    "token_expired": REFUSED_AT_THE_DOOR,
    "truncated_body": LOST,
    "html_page": LOST,
    "drifted": LOST,
    "wrong_type": SENT,
    "skewed_clock": SENT,
    "slow": SENT,
}
# What befalls the question after a write that went through.
SEARCH_FAULTS = ("refuse_503_before", "truncated_body", "html_page", "drifted", "token_expired")
_WORDS: dict[str, dict[str, Any]] = {
    "late_commit": {"delay_ms": 30, "hold_ms": 5},
    "slow": {"delay_ms": 5},
}
# These never reach the books' own hands.
_NEVER_STORED = ("refuse_503_before", "rate_limit_429", "token_expired")


@dataclass(slots=True)
class World:
    """One scene, books of a profile, and hours of lengths that tell them apart."""

    scene: Scene
    books: FailingBooks
    posting: Posting
    owner: Database
    given: int = 0

    def add(self, count: int) -> list[int]:
        """Let people work; return the lengths of their hours."""
        seconds = [60 * (self.given + number + 1) for number in range(count)]
        self.given += count
        with self.owner.transaction() as connection:
            add_hours(connection, self.scene, seconds=seconds)
        return seconds

    def entry_of(self, seconds: int) -> UUID:
        with self.owner.transaction() as connection:
            row = connection.execute(
                "SELECT entry_id FROM time_entry_version WHERE seconds = %s", (seconds,)
            ).fetchone()
        assert row is not None
        entry_id: UUID = row["entry_id"]
        return entry_id


@pytest.fixture
def profile(request: Any) -> str:
    name: str = request.param
    return name


@pytest.fixture
def world(profile: str, worker_database: Database, owner_database: Database) -> Iterator[World]:
    with owner_database.transaction() as connection:
        scene = build_scene(connection)
    scope = Scope(target_connection="tryton", entity_code="HR-DE", period_id=scene.period_id)
    with failing_books(profile) as books:
        posting = Posting.to(
            books,
            worker=worker_database,
            owner=owner_database,
            scope=scope,
            clock=FixedClock(NOW),
        )
        yield World(scene=scene, books=books, posting=posting, owner=owner_database)


of_every_profile = pytest.mark.parametrize("profile", PROFILES, indirect=True)


@of_every_profile
class TestEveryStrategy:
    def test_stores_each_line_once_whatever_the_target_does(
        self, profile: str, world: World
    ) -> None:
        """The table of outcomes: after the call, and in the end."""
        expected: list[int] = []
        for fault, known in FAULTS.items():
            seconds = world.add(2)
            world.books.fail(fault, **_WORDS.get(fault, {}))
            done = world.posting.round()
            after = {state for _, state in world.posting.states(seconds=seconds)}
            assert after == {known}, fault
            assert isinstance(done, AskPerson) == (fault == "token_expired"), fault

            world.posting.until_done()

            is_left = profile == "naive-erp" and known == LOST
            end = {state for _, state in world.posting.states(seconds=seconds)}
            assert end == {"CONFLICT" if is_left else "CONFIRMED"}, fault
            if not (is_left and fault in _NEVER_STORED):
                expected += seconds
        assert world.books.standing() == sorted(expected)
        if profile != "naive-erp":
            assert world.posting.net_seconds() == sum(expected)


# One profile for each way in which the code goes from here.
@pytest.mark.parametrize("profile", ["probe", "batch"], indirect=True)
class TestATargetThatShowsItsLines:
    def test_is_believed_only_when_it_does(self, profile: str, world: World) -> None:
        for fault in SEARCH_FAULTS:
            seconds = world.add(1)
            world.books.fail(fault, path=SEARCHES)
            world.posting.round()
            assert world.posting.states(seconds=seconds) == [(seconds[0], "UNKNOWN")], fault

            world.posting.until_done()

            assert world.posting.states(seconds=seconds) == [(seconds[0], "CONFIRMED")], fault
        assert world.books.standing() == [60, 120, 180, 240, 300]
        assert len(world.books.asked()) == len(SEARCH_FAULTS)


@pytest.mark.parametrize("profile", ["unique", "batch", "naive-erp"], indirect=True)
class TestEveryUndoForm:
    def test_takes_back_in_the_way_it_declares_and_once(self, profile: str, world: World) -> None:
        seconds = world.add(4)
        world.posting.until_done()
        for fault, length in zip(
            ("answer_lost", "refuse_503_before", "late_commit", "truncated_body"),
            seconds,
            strict=True,
        ):
            with world.owner.transaction() as connection:
                add_version(
                    connection,
                    world.scene,
                    entry_id=world.entry_of(length),
                    version=2,
                    seconds=length + 7200,
                    outcome="correct",
                )
            path = WRITES if profile == "batch" else r"^/v1/lines/void$"
            world.books.fail(fault, path=path, **_WORDS.get(fault, {}))
            world.posting.until_done()

        corrected = [length + 7200 for length in seconds]
        if profile == "naive-erp":
            # It offers no way back: what stands stays, and a person hears of it.
            assert world.books.standing() == seconds
            assert world.posting.net_seconds() == sum(seconds)
            with world.owner.transaction() as connection:
                voids = connection.execute(
                    "SELECT DISTINCT state, reason FROM effect WHERE kind = 'void'"
                ).fetchall()
            assert voids == [{"state": "REJECTED", "reason": "posting.cannot_undo"}]
            return
        assert world.posting.net_seconds() == sum(corrected)
        if profile == "batch":
            counters = [-length for length in seconds]
            assert world.books.standing() == sorted([*seconds, *counters, *corrected])
        else:
            assert world.books.standing() == corrected


_LINES = 20
MASKS = {
    "first": frozenset({0}),
    "last": frozenset({_LINES - 1}),
    "a tenth": frozenset(Random(7).sample(range(_LINES), _LINES // 10)),
    "all": frozenset(range(_LINES)),
    "none": frozenset[int](),
}


@pytest.mark.parametrize("profile", ["unique", "naive-erp"], indirect=True)
class TestABatchThatIsTakenInPart:
    def test_sends_again_what_was_refused_for_now_and_nothing_else(
        self, profile: str, world: World
    ) -> None:
        for name, mask in MASKS.items():
            seconds = world.add(_LINES)
            world.books.books.items = Items(refused=mask, is_for_now=True, shuffle=Random(3))
            world.posting.round()
            refused = [length for length, state in world.posting.states(seconds=seconds)
                       if state == "PLANNED"]  # fmt: skip
            calls = len(world.books.asked())

            world.posting.until_done()

            assert len(refused) == len(mask), name
            assert world.books.asked()[calls:] == ([refused] if refused else []), name
        assert world.books.standing() == [60 * number for number in range(1, world.given + 1)]
        assert world.posting.net_seconds() == sum(world.books.standing())

    def test_rejects_what_was_refused_for_good(self, profile: str, world: World) -> None:
        for name, mask in MASKS.items():
            seconds = world.add(_LINES)
            calls = len(world.books.asked())
            world.books.books.items = Items(refused=mask, shuffle=Random(5))

            world.posting.until_done()

            states = world.posting.states(seconds=seconds)
            assert sum(state == "REJECTED" for _, state in states) == len(mask), name
            assert sum(state == "CONFIRMED" for _, state in states) == _LINES - len(mask), name
            assert len(world.books.asked()) == calls + 1, name

    def test_asks_about_lines_of_which_the_answer_says_nothing(
        self, profile: str, world: World
    ) -> None:
        seconds = world.add(_LINES)
        world.books.books.items = Items(answers_max=_LINES // 2, shuffle=Random(9))

        world.posting.until_done()

        states = [state for _, state in world.posting.states(seconds=seconds)]
        assert world.books.standing() == seconds
        assert len(world.books.asked()) == 1
        if profile == "naive-erp":
            # Nobody can be asked: each line that the answer named is believed, the others are a person's.
            assert sorted(states) == ["CONFIRMED"] * 10 + ["CONFLICT"] * 10
        else:
            assert states == ["CONFIRMED"] * _LINES
