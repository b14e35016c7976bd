"""One record of master data reaches the target once, whatever becomes of the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.support.scene import NOW, build_scene
from tests.support.target import FixedClock, OpenBudgets

from tieline.canonical import TaskCommand
from tieline.kernel.errors import (
    LeaseLost,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StreamBroken,
)
from tieline.kernel.keys import SourceIdentity
from tieline.posting import Poster
from tieline.posting.outcomes import (
    Confirmed,
    Conflicted,
    EffectRequest,
    PostResult,
    Rejected,
    Undone,
    Waiting,
)
from tieline.runtime.database import Database
from tieline.sdk import Capabilities, NounWrite, Receipt, Stored, Strategy, Undo

_PATIENCE_SECONDS = 15

pytestmark = pytest.mark.sql


@dataclass(slots=True)
class Forgetful:
    """A target without keys: it finds a task by project and name and would store it twice."""

    records: list[Mapping[str, str]] = field(default_factory=list)
    moods: list[type[Exception] | str] = field(default_factory=list)
    late: list[Mapping[str, str]] = field(default_factory=list)
    meanwhile: list[Callable[[], None]] = field(default_factory=list)
    writes: int = 0

    def write(self, *, command: TaskCommand) -> Receipt:
        self.writes += 1
        mood = self.moods.pop(0) if self.moods else ""
        for happens in self.meanwhile:
            happens()
        if mood is LeaseLost:
            raise LeaseLost("the sender woke up late")
        if mood is NotExecuted:
            raise NotExecuted("the target is not reachable")
        if mood is Refused:
            raise Refused("the target does not take it", reason="fake.refused")
        if mood == "late":
            self.late.append(command.content())
            raise OutcomeUnknown("the answer did not come in time")
        self.records.append(command.content())
        if mood == "lost":
            raise OutcomeUnknown("the answer was lost")
        if mood == "broken":
            raise StreamBroken("what the connector asked after the write broke off")
        return Receipt(target_code=str(len(self.records)))

    def commit_late(self) -> None:
        self.records += self.late
        self.late.clear()

    def probe(self, *, command: TaskCommand) -> Sequence[Stored]:
        wanted = command.content()
        return [
            Stored(target_code=str(number), content=record)
            for number, record in enumerate(self.records, start=1)
            if (record["project_code"], record["name"]) == (wanted["project_code"], wanted["name"])
        ]

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        self.records[int(target_code) - 1] = {"project_code": "", "name": ""}
        return "deleted"


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory with this one target in it."""

    connector: Any

    def get(self, *, connection_key: str) -> Any:
        return self.connector

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return Capabilities(
            system="fake",
            kind="time",
            tier="gold",
            owners=("tests",),
            permissions=(),
            streams=(),
            writes=(
                NounWrite(
                    noun="task",
                    strategy=Strategy.PROBE_BEFORE_RETRY,
                    undo=Undo.VOID_BY_KEY,
                    batch_lines_max=1,
                    quantum_seconds=1,
                    shared_field="name",
                ),
            ),
            limits=(),
            settle_seconds=1,
            record_urls={},
            config_keys=(),
            secret_names=(),
        )


@pytest.fixture
def target(owner_database: Database) -> Forgetful:
    with owner_database.transaction() as connection:
        build_scene(connection)
        connection.execute("UPDATE connection SET settle_seconds = 1")
    return Forgetful()


@pytest.fixture
def poster(worker_database: Database, target: Forgetful) -> Poster:
    return Poster(
        database=worker_database,
        connectors=Directory(target),
        budgets=OpenBudgets(),  # type: ignore[arg-type]
        clock=FixedClock(NOW),
    )


def _request(*, deal: str = "1") -> EffectRequest:
    return EffectRequest(
        source=SourceIdentity(
            connection_key="hubspot", source_epoch=1, object="deals", source_ref=deal
        ),
        target_connection="tryton",
        noun="task",
        part="Design",
        entity_code="HR-DE",
        work_class=2,
        deadline_at=None,
        release_id=None,
        correlation_id="test",
    )


def _command(key: UUID, *, project: str = "P1", rate: str = "150") -> TaskCommand:
    return TaskCommand(
        business_key=key,
        entity_code="HR-DE",
        project_code=project,
        name="Design",
        labor_category=None,
        rate_amount=Decimal(rate),
        currency="EUR",
        is_billable=True,
        starts_on=date(2026, 10, 1),
        ends_on=None,
        budget_hours=None,
    )


def _post(poster: Poster, *, deal: str = "1", project: str = "P1") -> PostResult:
    return poster.post(
        request=_request(deal=deal), build=lambda key: _command(key, project=project)
    )


def _post_until_settled(poster: Poster) -> PostResult:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while isinstance(result := _post(poster), Waiting):
        assert time.monotonic() < deadline, result
        time.sleep(0.2)
    return result


def _state(database: Database) -> str:
    with database.transaction() as connection:
        row = connection.execute("SELECT state FROM effect WHERE noun = 'task'").fetchone()
    assert row is not None
    return str(row["state"])


_SHUT = [("mode", "'observe'"), ("mode", "'propose'"), ("paused", "true")]


def _set(database: Database, name: str, value: str) -> None:
    with database.transaction() as connection:
        connection.execute(f"UPDATE connection SET {name} = {value}")


class _Later(OpenBudgets):
    """A budget in whose time a rest of an hour is over."""

    def instant(self) -> datetime:
        return datetime(2999, 1, 1, tzinfo=UTC)


class TestATargetThatRests:
    def test_is_not_written_to_before_the_time_in_which_calls_are_granted(
        self, poster: Poster, target: Forgetful, owner_database: Database
    ) -> None:
        with owner_database.transaction() as connection:
            connection.execute(
                "INSERT INTO connection_budget (connection_key, paused_until)"
                " VALUES ('tryton', clock_timestamp() + interval '1 hour')"
            )

        waiting = _post(poster)
        after = _post(replace(poster, budgets=_Later()))  # type: ignore[arg-type]

        assert isinstance(waiting, Waiting)
        assert waiting.due_in_seconds > 3000
        assert isinstance(after, Confirmed)
        assert target.writes == 1


@pytest.mark.parametrize(("name", "value"), _SHUT)
class TestATargetThatDoesNotAct:
    def test_is_not_written_to_until_it_does(
        self, poster: Poster, target: Forgetful, owner_database: Database, name: str, value: str
    ) -> None:
        _set(owner_database, name, value)
        assert isinstance(_post(poster), Waiting)
        assert (target.writes, _state(owner_database)) == (0, "PLANNED")

        _set(owner_database, "mode", "'act'")
        _set(owner_database, "paused", "false")

        assert isinstance(_post(poster), Confirmed)

    def test_keeps_what_it_has(
        self, poster: Poster, target: Forgetful, owner_database: Database, name: str, value: str
    ) -> None:
        done = _post(poster)
        _set(owner_database, name, value)

        assert isinstance(poster.undo(business_key=done.business_key), Waiting)

        assert [record["name"] for record in target.records] == ["Design"]

    def test_is_still_asked_about_a_lost_answer(
        self, poster: Poster, target: Forgetful, owner_database: Database, name: str, value: str
    ) -> None:
        target.moods = ["lost"]
        _post(poster)
        _set(owner_database, name, value)

        assert isinstance(_post_until_settled(poster), Confirmed)


class TestOneRecord:
    def test_is_confirmed_after_it_was_read_back(self, poster: Poster, target: Forgetful) -> None:
        result = _post(poster)

        assert isinstance(result, Confirmed)
        assert (result.target_code, result.is_new) == ("1", True)

    def test_is_not_written_again_when_asked_for_again(
        self, poster: Poster, target: Forgetful
    ) -> None:
        _post(poster)

        result = _post(poster)

        assert isinstance(result, Confirmed)
        assert target.writes == 1

    @pytest.mark.parametrize("mood", ["lost", "broken"])
    def test_is_found_and_not_sent_again_when_its_answer_was_lost(
        self, mood: str, poster: Poster, target: Forgetful
    ) -> None:
        target.moods = [mood]

        result = _post_until_settled(poster)

        assert isinstance(result, Confirmed)
        assert (target.writes, len(target.records)) == (1, 1)

    def test_stays_unknown_until_a_late_commit_can_no_longer_come(
        self, poster: Poster, target: Forgetful, worker_database: Database
    ) -> None:
        target.moods = ["late"]

        first = _post(poster)
        second = _post(poster)
        target.commit_late()
        last = _post_until_settled(poster)

        assert isinstance(first, Waiting)
        assert isinstance(second, Waiting)
        assert isinstance(last, Confirmed)
        assert (target.writes, len(target.records)) == (1, 1)

    def test_waits_after_our_own_death_as_after_a_lost_answer(
        self, poster: Poster, target: Forgetful, owner_database: Database
    ) -> None:
        _post(poster)
        target.records.clear()
        with owner_database.transaction() as connection:
            connection.execute("ALTER TABLE effect DISABLE TRIGGER USER")
            connection.execute("UPDATE effect SET state = 'INTENT' WHERE noun = 'task'")
            connection.execute("ALTER TABLE effect ENABLE TRIGGER USER")

        result = _post(poster)

        assert isinstance(result, Waiting)
        assert result.state == "UNKNOWN"
        assert target.writes == 1

    def test_is_sent_again_when_it_surely_never_left(
        self, poster: Poster, target: Forgetful
    ) -> None:
        target.moods = [NotExecuted]

        result = _post_until_settled(poster)

        assert isinstance(result, Confirmed)
        assert len(target.records) == 1

    def test_is_sent_again_only_after_the_target_said_that_it_is_absent(
        self, poster: Poster, target: Forgetful
    ) -> None:
        target.moods = ["late"]

        result = _post_until_settled(poster)

        assert isinstance(result, Confirmed)
        assert target.writes == 2

    def test_is_rejected_with_the_reason_of_the_target(
        self, poster: Poster, target: Forgetful, worker_database: Database
    ) -> None:
        target.moods = [Refused]

        result = _post(poster)

        assert isinstance(result, Rejected)
        assert result.reason == "fake.refused"
        assert _state(worker_database) == "REJECTED"

    def test_is_a_conflict_when_something_else_stands_there(
        self, poster: Poster, target: Forgetful, worker_database: Database
    ) -> None:
        target.moods = ["lost"]
        _post(poster)
        target.records[0] = {**target.records[0], "rate_amount": "999"}

        result = _post_until_settled(poster)

        assert isinstance(result, Conflicted)
        assert "rate_amount" in result.message
        assert _state(worker_database) == "CONFLICT"

    def test_can_be_taken_back_and_made_anew_under_the_next_number(
        self, poster: Poster, target: Forgetful
    ) -> None:
        made = _post(poster)
        assert isinstance(made, Confirmed)

        undone = poster.undo(business_key=made.business_key)
        again = _post(poster)

        assert isinstance(undone, Undone)
        assert isinstance(again, Confirmed)
        assert again.business_key != made.business_key


class TestSenderWhoWokeUpLate:
    """Another run may have its work by now."""

    def test_records_nothing_when_it_gave_up_before_the_call(
        self, poster: Poster, target: Forgetful, worker_database: Database
    ) -> None:
        target.moods = [LeaseLost]

        with pytest.raises(LeaseLost):
            _post(poster)

        assert _state(worker_database) == "INTENT"
        assert isinstance(_post_until_settled(poster), Confirmed)
        assert len(target.records) == 1

    @pytest.mark.parametrize("mood", [NotExecuted, Refused, "lost"])
    def test_does_not_speak_for_the_attempt_of_another(
        self, mood: Any, poster: Poster, target: Forgetful, worker_database: Database
    ) -> None:
        target.moods = [mood]
        target.meanwhile = [lambda: _send_anew(worker_database)]

        with pytest.raises(LeaseLost):
            _post(poster)

        assert _state(worker_database) == "INTENT"


def _send_anew(database: Database) -> None:
    """Do what a successor does until just before its call."""
    with database.transaction() as connection:
        for state in ("UNKNOWN", "PROBING", "ABSENT"):
            connection.execute("UPDATE effect SET state = %s WHERE noun = 'task'", (state,))
        connection.execute(
            "UPDATE effect SET state = 'INTENT', attempt = attempt + 1 WHERE noun = 'task'"
        )


class TestSharedName:
    """Two deals share one task by its name where the target knows no keys."""

    def test_waits_while_another_write_of_the_name_is_open(
        self, poster: Poster, target: Forgetful
    ) -> None:
        target.moods = ["late"]
        _post(poster, deal="1")

        result = _post(poster, deal="2", project="P2")

        assert isinstance(result, Waiting)
        assert result.state == "PLANNED"
        assert target.writes == 1

    def test_goes_on_when_the_other_is_through(self, poster: Poster, target: Forgetful) -> None:
        target.moods = ["lost"]
        _post(poster, deal="1")
        _post(poster, deal="2", project="P2")
        _post_until_settled(poster)

        result = _post(poster, deal="2", project="P2")

        assert isinstance(result, Confirmed)
        assert len(target.records) == 2

    def test_waits_for_nobody_once_the_name_stands(self, poster: Poster, target: Forgetful) -> None:
        _post(poster, deal="1")
        target.moods = ["late"]
        _post(poster, deal="2", project="P2")

        result = _post(poster, deal="3", project="P3")

        assert isinstance(result, Confirmed)
