"""A target is down near a cut-off: its lines go out as a file, and each ends up there once."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from tests.flows.test_time_validation import World
from tests.support.books_desk import BooksDesk
from tests.support.scene import NOW
from tests.support.target import OneConnector

from tieline.casework import CaseSummary, list_cases
from tieline.kernel.errors import TielineError, UserMistake
from tieline.posting.handing_over import (
    FileScope,
    ImportFile,
    draft_file,
    find_content,
    get_file,
    list_files,
)
from tieline.posting.import_file import checksum_of
from tieline.posting.lines import Scope
from tieline.posting.restoring import find_restoration
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import AtOnce
from tieline.sdk import ImportLayout, ImportLine, Strategy
from tieline.services.conservation_checks import ConservationChecks
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.fallback import Fallback, draft_files, propose_file
from tieline.services.period_close import PeriodBusy, PeriodClosed
from tieline.services.restoring import Restoring, begin

_STRATEGIES = {"unique": Strategy.UNIQUE_FIELD, "probe": Strategy.PROBE_BEFORE_RETRY}


class Close:
    """The evening before a cut-off: books that are down, and two people of finance."""

    def __init__(self, world: World, profile: str) -> None:
        self.world = world
        self.desk = BooksDesk(profile)
        self.connectors = OneConnector(self.desk.connector, _STRATEGIES[profile])
        poster = world.flow.line_poster
        object.__setattr__(poster, "connectors", self.connectors)
        self.poster = poster
        self.fallback = Fallback(
            database=world.worker, connectors=self.connectors, clock=world.clock
        )
        self.desk.is_down = True

    def book(self, **hours: int) -> None:
        for name, seconds in hours.items():
            self.world.land(name, seconds)
        self.plan()

    def plan(self) -> None:
        """Judge and plan, and send nothing."""
        for _ in range(3):
            self.world.flow.plan_left_out()
            self.world.flow.schedule_waiting()
            self.world._judge_batches()
            self.world.flow.judge_waiting(AtOnce(), "all")
        self.world.say("DELETE FROM work_item")

    def propose(self, valid_hours: int = 24) -> UUID:
        now = self.world.clock.now()
        with self.world.worker.transaction() as connection:
            (draft,) = draft_files(
                connection,
                connectors=self.connectors,
                target_connection="tryton",
                entities=["HR-DE"],
                period_code=None,
                now=now,
            )
            return propose_file(
                connection,
                draft=draft,
                valid_hours=valid_hours,
                reason="the books are down",
                by="ann",
                now=now,
            ).proposal_id

    def approve(self, proposal_id: UUID, by: str = "bob") -> ImportFile:
        with self.world.worker.transaction() as connection:
            approve_and_carry_out(
                connection,
                proposal_id=proposal_id,
                reason="",
                by=Decider(login=by),
                connectors=self.connectors,
                now=self.world.clock.now(),
            )
            return list_files(connection)[0]

    def make(self) -> ImportFile:
        return self.approve(self.propose())

    def content(self, file: ImportFile) -> bytes:
        with self.world.worker.transaction() as connection:
            found = find_content(connection, file_id=file.file_id)
        assert found is not None
        return found

    def file(self, file: ImportFile) -> ImportFile:
        with self.world.worker.transaction() as connection:
            return get_file(connection, file_name=file.file_name)

    def pass_time(self, **much: int) -> None:
        self.world.clock.instant += timedelta(**much)

    def look(self) -> int:
        self.pass_time(seconds=61)
        return self.fallback.look_due()

    def send(self) -> None:
        self.plan()
        scope = Scope(
            target_connection="tryton",
            entity_code="HR-DE",
            period_id=self.world.scene.period_id,
        )
        for _ in range(4):
            self.poster.round(scope=scope)

    def load_under_its_key(self, *, seconds: int) -> None:
        """Let a line stand that a file carried which nobody here remembers."""
        (row,) = self.world.say(
            "SELECT e.business_key, v.work_date FROM effect e JOIN verdict v USING (verdict_id)"
            " WHERE e.seconds = %s",
            seconds,
        )
        like = next(iter(self.desk.books.lines.values()))
        line = {**like, "date": row["work_date"].isoformat(), "seconds": seconds}
        self.desk.load(_written([{**line, "reference": str(row["business_key"])}]))

    def restore(self) -> None:
        """Find out that this is a backup of earlier, and ask the target about every hour."""
        restoring = Restoring(
            database=self.world.worker,
            connectors=self.connectors,
            clock=self.world.clock,
            home=Path("/nonexistent"),
        )
        with self.world.worker.transaction() as connection:
            begin(
                connection,
                because="a test",
                by="tests",
                home=restoring.home,
                now=self.world.clock.now(),
            )
        for _ in range(3):
            with self.world.worker.transaction() as connection:
                standing = find_restoration(connection)
            assert standing is not None
            restoring._step(standing)

    def move(self, state: str, *, seconds: int) -> None:
        self.world.say(
            "UPDATE effect SET state = %s, payload_hash = 'x', due_at = clock_timestamp()"
            " + interval '1 hour' WHERE seconds = %s", state, seconds
        )  # fmt: skip

    def cases(self, reason: str) -> tuple[CaseSummary, ...]:
        with self.world.worker.transaction() as connection:
            return list_cases(connection, reason=reason)

    def twins(self) -> tuple[CaseSummary, ...]:
        ConservationChecks(
            database=self.world.worker, connectors=self.connectors, clock=self.world.clock
        ).find_twins()
        return self.cases("posted.twice")


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[World]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield World(owner, worker_database)
    owner.close()


@pytest.fixture
def close(world: World) -> Close:
    return Close(world, "unique")


@pytest.fixture
def careless(world: World) -> Close:
    return Close(world, "probe")


class TestAFile:
    @pytest.mark.sql
    def test_is_made_by_two_people_loaded_by_one_and_matched_when_the_target_is_back(
        self, close: Close
    ) -> None:
        close.book(a=3600, b=1800, c=900)
        close.move("INTENT", seconds=900)
        close.move("UNKNOWN", seconds=900)
        proposal_id = close.propose()
        close.pass_time(minutes=1)
        close.book(later=60)

        with pytest.raises(UserMistake, match="somebody else"):
            close.approve(proposal_id, by="ann")
        with pytest.raises(UserMistake, match="ann has proposed it already"):
            close.propose()
        file = close.approve(proposal_id)

        assert (file.lines, file.seconds, file.made_by, file.approved_by) == (2, 5400, "ann", "bob")
        assert file.cover["amounts"] == {"EUR": "225.00"}
        assert {each["why"]: each["lines"] for each in file.cover["left_out"]} == {
            "unconfirmed": 1,
            "waiting": 1,
        }
        content = close.content(file)
        assert checksum_of(content) == file.checksum
        assert close.world.places() == {"handed_over": 2, "pending": 2}
        (case,) = close.cases("posting.handed_over")
        assert (case.owner_queue, case.due_at, case.seconds) == ("finance", file.valid_until, 5400)
        assert str(case.amounts[0].amount) == "225.00"

        # The target is back before anybody looked: what is in the file is not sent.
        close.desk.is_down = False
        close.send()
        assert close.desk.seconds() == [60]
        assert close.desk.load(content) == 200
        assert close.desk.load(content) == 409
        assert close.look() == 1

        assert close.desk.seconds() == [60, 1800, 3600]
        done = close.file(file)
        assert (done.state, done.matched, done.given) == ("settled", 2, 0)
        assert close.world.places() == {"posted": 3, "pending": 1}
        booked = close.world.say("SELECT seconds, via_file_id FROM ledger_line ORDER BY seconds")
        assert [row["via_file_id"] for row in booked] == [None, file.file_id, file.file_id]
        assert close.cases("posting.handed_over") == ()
        close.send()
        assert close.desk.seconds() == [60, 1800, 3600]
        # What people wrote is kept no longer than somebody needs the file.
        assert close.world.say("SELECT FROM import_file WHERE content IS NOT NULL") == []

    def test_is_refused_the_second_time(self, close: Close) -> None:
        close.book(a=3600)
        first = close.make()

        with pytest.raises(UserMistake, match="no line of HR-DE waits"):
            close.propose()
        assert [close.file(first).state, close.world.places()] == ["open", {"handed_over": 1}]

    def test_is_sent_by_nobody_after_a_restore_and_matched_once_it_was_loaded(
        self, careless: Close
    ) -> None:
        close = careless
        close.book(a=3600, b=1800)
        file = close.make()
        close.desk.is_down = False
        # The backup knows the file, and not that it was loaded; of the next one it knows nothing.
        close.desk.load(close.content(file))
        close.book(c=900)
        close.load_under_its_key(seconds=900)

        close.restore()
        close.send()

        assert close.desk.seconds() == [900, 1800, 3600]
        assert close.desk.writes == 0
        close.look()
        assert close.file(file).state == "settled"
        assert close.world.places() == {"posted": 3}
        assert close.twins() == ()

    def test_that_was_changed_loaded_in_part_and_loaded_twice_shows_all_of_it(
        self, careless: Close
    ) -> None:
        close = careless
        close.book(a=3600, b=1800, c=900, d=450)
        file = close.make()
        with pytest.raises(TielineError):
            close.fallback.release(file_name=file.file_name, by="ann", reason="nobody loads it")
        close.desk.is_down = False
        rows = _rows(close.content(file))
        loaded = [dict(row) for row in rows if row["seconds"] != "450"]
        for row in loaded:
            row["seconds"] = row["seconds"].replace("900", "960")
        twice = [row for row in rows if row["seconds"] == "1800"]
        close.desk.load(_written([*loaded, *twice]))

        with pytest.raises(UserMistake, match="3 of 4 lines"):
            close.fallback.withdraw(file_name=file.file_name, by="ann", reason="a mistake")
        assert close.look() == 1

        # One as sent, one otherwise, one twice, one not at all.
        found = close.file(file)
        assert (found.matched, found.differs, found.given) == (1, 1, 2)
        assert close.world.places() == {"posted": 1, "held": 1, "handed_over": 2}
        assert "posted.conflict" in close.world.reasons()
        (incident,) = close.twins()
        assert (incident.is_incident, incident.seconds) == (True, 1800)
        close.send()
        assert close.desk.seconds() == [960, 1800, 1800, 3600]

        # One of the two is deleted there, and somebody says that the rest will not be loaded.
        close.desk.delete(max(n for n, x in close.desk.books.lines.items() if x["seconds"] == 1800))
        looked = close.fallback.release(file_name=file.file_name, by="ann", reason="not loaded")
        assert (looked.matched, looked.released, looked.waiting) == (1, 1, 0)
        assert close.twins() == ()
        close.send()
        assert close.desk.seconds() == [450, 960, 1800, 3600]

        # The whole file is loaded once more, a day later.
        close.desk.load(_written(rows))
        close.pass_time(hours=2)
        close.look()
        (incident,) = close.twins()
        assert incident.seconds == 450 + 1800 + 3600 + 900

    @pytest.mark.parametrize("profile", ["unique", "probe"])
    def test_that_carries_other_keys_and_lines_it_never_had_doubles_nothing_in_silence(
        self, world: World, profile: str
    ) -> None:
        close = Close(world, profile)
        close.book(a=3600, b=1800)
        file = close.make()
        close.book(later=60, same=120)
        close.desk.is_down = False
        first, second = _rows(close.content(file))
        keys = {row["seconds"]: str(row["business_key"]) for row in close.world.say(
            "SELECT seconds::text, business_key FROM effect WHERE state = 'PLANNED'")}  # fmt: skip
        swapped = [
            {**first, "reference": second["reference"]},
            {**second, "reference": first["reference"]},
        ]
        # Copied into the file by hand: one as we would send it, one otherwise, one of nobody here.
        forged = [
            {**first, "reference": keys["120"], "seconds": "120"},
            {**first, "reference": keys["60"], "seconds": "61"},
            {**first, "reference": str(UUID(int=7)), "seconds": "30"},
        ]
        assert close.desk.load(_written([*swapped, *forged])) == 200

        close.look()
        close.send()
        close.pass_time(hours=30)
        close.look()
        close.send()

        # What stands under a key once and as sent is believed; all else is a case, and stays as it is.
        stands_once = {"unique": {"posted": 1, "held": 3}, "probe": {"held": 4}}[profile]
        assert close.world.places() == stands_once
        assert close.world.reasons() == {"posted.conflict"}
        sent = {"unique": [], "probe": [60, 120]}[profile]
        assert close.desk.seconds() == sorted([30, 61, 120, 1800, 3600, *sent])
        done = close.file(file)
        assert (done.state, done.matched, done.differs) == ("settled", 0, 2)

    def test_whose_time_is_over_gives_its_lines_free_and_each_is_sent_once(
        self, careless: Close
    ) -> None:
        close = careless
        close.book(a=3600, b=1800)
        file = close.make()
        close.desk.is_down = False
        close.pass_time(hours=23)
        close.look()
        assert close.world.places() == {"handed_over": 2}

        close.pass_time(hours=2)
        close.look()
        done = close.file(file)
        assert (done.state, done.released) == ("settled", 2)
        close.send()
        close.send()

        assert close.desk.seconds() == [1800, 3600]
        assert close.world.places() == {"posted": 2}
        assert close.world.say("SELECT FROM ledger_line WHERE via_file_id IS NOT NULL") == []

    def test_is_withdrawn_when_the_target_says_that_nothing_of_it_stands(
        self, close: Close
    ) -> None:
        close.book(a=3600)
        file = close.make()
        with pytest.raises(TielineError):
            close.fallback.withdraw(file_name=file.file_name, by="ann", reason="it is back")
        close.desk.is_down = False

        close.fallback.withdraw(file_name=file.file_name, by="ann", reason="it is back")

        assert close.file(file).state == "withdrawn"
        close.send()
        assert close.desk.seconds() == [3600]
        again = close.desk.load(_written([{**row} for row in _sample(close)]))
        assert again == 409

    def test_stays_as_it_is_while_an_hour_in_it_changes_and_is_corrected_afterwards(
        self, close: Close
    ) -> None:
        close.book(a=3600, b=1800)
        file = close.make()

        close.book(a=5400)
        assert close.world.places() == {"handed_over": 2}
        assert isinstance(close.world.close(), PeriodBusy)
        close.desk.is_down = False
        close.desk.load(close.content(file))
        close.look()
        close.send()
        close.send()

        assert close.desk.seconds() == [1800, 5400]
        assert close.world.places() == {"posted": 2}
        assert isinstance(close.world.close(), PeriodClosed)


class TestACode:
    def test_is_used_only_where_the_target_has_one_record_of_it(self, close: Close) -> None:
        close.book(a=3600)
        known = _Known(close.desk.connector)

        for ref, code in (("77", "E-1"), ("78", "E-2"), ("79", "E-1")):
            close.world.say(
                "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version,"
                " is_newest, noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id,"
                " correlation_id) VALUES ('tryton', 0, 'employees', %s, 1, true, 'Person',"
                " jsonb_build_object('employee_code', %s::text), false, 'x', 1, %s, 1, 'c')",
                ref, code, NOW,
            )  # fmt: skip
            with close.world.worker.transaction() as connection:
                draft_file(
                    connection,
                    scope=FileScope(
                        target_connection="tryton",
                        entity_code="HR-DE",
                        period_code=None,
                        planned_by=NOW,
                    ),
                    connectors=OneConnector(known),
                )

        # The third record has the first one's code.
        assert known.codes == ["E-1", "E-1", None]


class _Known:
    """Note under which code each line would be loaded."""

    def __init__(self, connector: Any) -> None:
        self._connector = connector
        self.codes: list[str | None] = []

    def import_layout(self) -> ImportLayout:
        layout: ImportLayout = self._connector.import_layout()
        return layout

    def import_row(self, *, line: ImportLine) -> Any:
        self.codes.append(line.employee_code)
        return self._connector.import_row(line=line)


class TestThePoster:
    def test_and_the_file_never_take_the_same_line(self, close: Close) -> None:
        close.book(a=3600, b=1800)
        close.desk.is_down = False
        world, scope = close.world, FileScope(
            target_connection="tryton", entity_code="HR-DE", period_code=None, planned_by=NOW
        )  # fmt: skip

        # While a file is being made its lines are not sent.
        with world.worker.transaction() as connection:
            draft = draft_file(connection, scope=scope, connectors=close.connectors)
            assert len(draft.commands) == 2
            close.send()
            assert close.desk.writes == 0

        # While lines are being reserved they go into no file; nor once they are on their way.
        with world.worker.transaction() as sending:
            sending.execute("SELECT FROM effect WHERE seconds = 3600 FOR UPDATE")
            file = close.make()
        assert [row["seconds"] for row in _rows(close.content(file))] == ["1800"]
        close.send()
        assert close.desk.seconds() == [3600]
        with pytest.raises(UserMistake, match="no line of HR-DE waits"):
            close.propose()


@pytest.mark.sql
class TestTheDatabase:
    def test_refuses_to_send_or_give_free_what_is_in_a_file(self, close: Close) -> None:
        close.book(a=3600, b=1800)
        close.move("INTENT", seconds=1800)
        file = close.make()
        say = close.world.say
        for statement, names in (
            ("UPDATE effect SET state = 'INTENT' WHERE seconds = 3600", "may not become INTENT"),
            ("UPDATE effect SET state = 'PLANNED' WHERE seconds = 3600", "may not become PLANNED"),
            ("UPDATE effect SET state = 'CONFIRMED' WHERE seconds = 3600", "may not become"),
            ("UPDATE effect SET state = 'HANDED_OVER' WHERE seconds = 1800", "is in no file"),
            (
                "UPDATE import_file_line SET outcome = 'released', settled_at = now(), absent_at = given_at",
                "check",
            ),
            ("DELETE FROM import_file_line", "permission denied"),
        ):
            with pytest.raises(psycopg.Error, match=names):
                say(statement)
        # Nobody can claim a line for a second file, or change how it was settled.
        with pytest.raises(errors.UniqueViolation):
            say(
                "INSERT INTO import_file_line SELECT (jsonb_populate_record(l,"
                " jsonb_build_object('line_number', 2, 'file_id', l.file_id))).* FROM import_file_line l"
            )
        assert close.file(file).given == 1


def _rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def _written(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _sample(close: Close) -> list[dict[str, str]]:
    return [
        {name: str(value) for name, value in line.items()}
        for line in close.desk.books.lines.values()
    ]
