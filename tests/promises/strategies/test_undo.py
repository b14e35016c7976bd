"""What a target can only answer with a document is taken back once, and by what stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from tests.rooms.posting.test_poster import Directory, Forgetful, _command, _request
from tests.support.scene import NOW, Scene, add_hours, add_version, build_scene
from tests.support.target import FixedClock, LineTarget, OneConnector, OpenBudgets
from tieline.canonical import TaskCommand
from tieline.kernel.errors import NotExecuted, OutcomeUnknown, Refused
from tieline.ledger import plan
from tieline.posting import Poster
from tieline.posting.lines import LinePoster, Scope
from tieline.posting.outcomes import Confirmed, Conflicted, Rejected, Undone, Waiting
from tieline.runtime.database import Database
from tieline.sdk import Capabilities, CounterDocument, Stored, StoredCounter, Strategy, Undo

_ROUNDS_MAX = 10
DOCUMENTS = [Undo.CREDIT_DOCUMENT, Undo.JOURNAL]
# What befalls the document, and how many documents were asked for until one stood.
FAULTS = {"": 1, "lost": 1, "late": 1, "vanished": 2, "unreachable": 2}


@dataclass(slots=True)
class DocumentTarget(LineTarget):
    """A target that never lets a line go: it takes documents against it, as many as come."""

    documents: list[StoredCounter] = field(default_factory=list)
    mood: str = ""
    on_their_way: list[StoredCounter] = field(default_factory=list)
    asked: int = 0

    def void_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> None:
        raise AssertionError("nothing goes by key here")

    def write_counters(self, *, entity_code: str, counters: Sequence[CounterDocument]) -> None:
        self.asked += 1
        mood, self.mood = self.mood, ""
        made = [
            StoredCounter(
                business_key=each.business_key,
                target_code=f"against {each.undoes.target_code}",
                seconds=-each.undoes.seconds,
            )
            for each in counters
        ]
        if mood == "unreachable":
            raise NotExecuted("nobody listens")
        if mood == "refused":
            raise Refused("the period is shut", reason="target.shut")
        if mood == "vanished":
            raise OutcomeUnknown("no answer came")
        if mood == "late":
            self.on_their_way += made
            raise OutcomeUnknown("no answer came")
        self.documents += made
        if mood == "lost":
            raise OutcomeUnknown("the answer was lost")

    def read_counters(self, *, entity_code: str, keys: Sequence[UUID]) -> Sequence[StoredCounter]:
        return [each for each in self.documents if each.business_key in keys]


@dataclass(frozen=True, slots=True)
class Declared(OneConnector):
    """The same directory, with another undo form."""

    undo: Undo = Undo.VOID_BY_KEY

    def capabilities(self, *, connection_key: str) -> Capabilities:
        known = OneConnector.capabilities(self, connection_key=connection_key)
        (write,) = known.writes
        return replace(known, writes=(replace(write, undo=self.undo),))


class LineWorld:
    """One hour that was posted and has changed."""

    def __init__(self, worker: Database, owner: Database, undo: Undo) -> None:
        self.owner, self.target = owner, DocumentTarget()
        with owner.transaction() as connection:
            self.scene: Scene = build_scene(connection)
        self.poster = LinePoster(
            database=worker,
            connectors=Declared(self.target, strategy=Strategy.PROBE_BEFORE_RETRY, undo=undo),
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=FixedClock(NOW),
        )

    def post_and_change(self, mood: str) -> None:
        """Book an hour, change it, and let something befall what takes it back."""
        with self.owner.transaction() as connection:
            (entry_id,) = add_hours(connection, self.scene, seconds=[3600])
        self.until_done()
        with self.owner.transaction() as connection:
            add_version(
                connection, self.scene, entry_id=entry_id, version=2, seconds=5400,
                outcome="correct",
            )  # fmt: skip
        self.target.mood = mood
        self.until_done()

    def until_done(self) -> None:
        scope = Scope(
            target_connection="tryton", entity_code="HR-DE", period_id=self.scene.period_id
        )
        for _ in range(_ROUNDS_MAX):
            with self.poster.database.transaction() as connection:
                plan(connection, entry_ids=None, now=NOW)
            done = self.poster.round(scope=scope)
            if done.wait_seconds is None and not done.voided:
                return
            self.target.documents += self.target.on_their_way
            self.target.on_their_way.clear()
            _let_settle(self.owner)
        raise AssertionError("posting did not come to an end")

    def void(self) -> tuple[str, str | None]:
        row = _one(self.owner, "SELECT state, reason FROM effect WHERE kind = 'void'")
        return row["state"], row["reason"]


@pytest.mark.parametrize("undo", DOCUMENTS)
class TestALine:
    def test_is_taken_back_by_one_document(
        self, undo: Undo, worker_database: Database, owner_database: Database
    ) -> None:
        world = LineWorld(worker_database, owner_database, undo)
        for number, (mood, asked) in enumerate(FAULTS.items(), start=1):
            before = world.target.asked
            world.post_and_change(mood)

            assert world.target.asked - before == asked, mood
            assert [each.seconds for each in world.target.documents] == [-3600] * number, mood
        lines = sorted(line.seconds for line in world.target.lines.values())
        assert lines == [3600] * len(FAULTS) + [5400] * len(FAULTS)
        net = _one(owner_database, "SELECT sum(seconds)::int AS net FROM ledger_line")["net"]
        assert net == 5400 * len(FAULTS) == sum(lines) - 3600 * len(world.target.documents)

    def test_stays_where_the_target_refuses_the_document(
        self, undo: Undo, worker_database: Database, owner_database: Database
    ) -> None:
        world = LineWorld(worker_database, owner_database, undo)
        world.post_and_change("refused")

        assert world.void() == ("REJECTED", "target.shut")
        assert [line.seconds for line in world.target.lines.values()] == [3600]


class TestALineWhoseTargetOffersNothing:
    def test_stays_and_a_person_hears_of_it(
        self, worker_database: Database, owner_database: Database
    ) -> None:
        world = LineWorld(worker_database, owner_database, Undo.NONE)
        world.post_and_change("")

        assert world.void() == ("REJECTED", "posting.cannot_undo")
        assert world.target.asked == 0
        assert [line.seconds for line in world.target.lines.values()] == [3600]


# -- single records ---------------------------------------------------------------------------------


@dataclass(slots=True)
class DocumentedRecords(Forgetful):
    """Records that are taken back by documents alone."""

    is_findable: bool = True
    credits: list[tuple[UUID, str]] = field(default_factory=list)
    mood: str = ""
    asked: int = 0

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        raise AssertionError("nothing goes by key here")

    def probe(self, *, command: TaskCommand) -> Sequence[Stored]:
        assert self.is_findable, "there is nothing to ask it"
        return Forgetful.probe(self, command=command)

    def write_undo(
        self, *, noun: str, entity_code: str, target_code: str, business_key: UUID
    ) -> str:
        self.asked += 1
        mood, self.mood = self.mood, ""
        if mood == "unreachable":
            raise NotExecuted("nobody listens")
        if mood == "vanished":
            raise OutcomeUnknown("no answer came")
        self.credits.append((business_key, f"C{len(self.credits) + 1}"))
        if mood == "lost":
            raise OutcomeUnknown("the answer was lost")
        return self.credits[-1][1]

    def find_undo(self, *, noun: str, entity_code: str, business_key: UUID) -> Sequence[str]:
        return [code for key, code in self.credits if key == business_key]


@dataclass(frozen=True, slots=True)
class DeclaredRecords(Directory):
    """The same directory, with other words in its manifest."""

    strategy: Strategy = Strategy.PROBE_BEFORE_RETRY
    undo: Undo = Undo.CREDIT_DOCUMENT

    def capabilities(self, *, connection_key: str) -> Capabilities:
        known = Directory.capabilities(self, connection_key=connection_key)
        (write,) = known.writes
        return replace(known, writes=(replace(write, strategy=self.strategy, undo=self.undo),))


@pytest.fixture
def records(owner_database: Database) -> DocumentedRecords:
    with owner_database.transaction() as connection:
        build_scene(connection)
    return DocumentedRecords()


MakePoster = Callable[..., Poster]


@pytest.fixture
def poster_of(worker_database: Database, records: DocumentedRecords) -> MakePoster:
    def make(**words: Any) -> Poster:
        return Poster(
            database=worker_database,
            connectors=DeclaredRecords(records, **words),
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=FixedClock(NOW),
        )

    return make


class TestARecord:
    @pytest.mark.parametrize(("mood", "asked"), [(m, n) for m, n in FAULTS.items() if m != "late"])
    @pytest.mark.parametrize("undo", [*DOCUMENTS, Undo.COUNTER_LINE])
    def test_is_taken_back_by_one_document(
        self,
        undo: Undo,
        mood: str,
        asked: int,
        records: DocumentedRecords,
        poster_of: MakePoster,
        owner_database: Database,
    ) -> None:
        poster = poster_of(undo=undo)
        made = poster.post(request=_request(), build=_command)
        records.mood = mood

        for _ in range(_ROUNDS_MAX):
            undone = poster.undo(business_key=made.business_key)
            if not isinstance(undone, Waiting):
                break
            _let_settle(owner_database)

        assert isinstance(undone, Undone)
        assert undone.how == f"{undo}:C1"
        assert (len(records.credits), records.asked) == (1, asked)
        assert poster.undo(business_key=made.business_key) == undone

    def test_stays_where_the_target_offers_nothing(
        self, records: DocumentedRecords, poster_of: MakePoster
    ) -> None:
        poster = poster_of(undo=Undo.NONE)
        made = poster.post(request=_request(), build=_command)

        for _ in range(2):
            undone = poster.undo(business_key=made.business_key)
            assert isinstance(undone, Rejected)
            assert undone.reason == "posting.cannot_undo"
        assert records.asked == 0

    @pytest.mark.parametrize("mood", ["", "lost", "late"])
    def test_is_tried_once_where_nothing_can_be_found_again(
        self, mood: str, records: DocumentedRecords, poster_of: MakePoster, owner_database: Database
    ) -> None:
        poster = poster_of(strategy=Strategy.ONCE_THEN_CASE)
        records.moods = [mood]
        records.is_findable = False

        first = poster.post(request=_request(), build=_command)
        _let_settle(owner_database)
        again = poster.post(request=_request(), build=_command)

        assert records.writes == 1
        assert isinstance(again, Conflicted if mood else Confirmed)
        assert isinstance(first, Waiting if mood else Confirmed)


def _let_settle(owner: Database) -> None:
    with owner.transaction() as connection:
        connection.execute(
            "UPDATE effect SET due_at = NULL, sent_at = sent_at - interval '1 hour'"
            " WHERE state NOT IN ('CONFIRMED', 'WITHDRAWN')"
        )


def _one(owner: Database, statement: str) -> dict[str, Any]:
    with owner.transaction() as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row
