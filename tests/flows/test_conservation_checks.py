"""The source and the target are asked themselves; what lasts is an incident, what moves is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.rooms.casework.hand_made_firm import NOW, Firm
from tests.support.target import FixedClock, OneConnector

from tieline.canonical import Approval, TimeEntry
from tieline.casework import CaseSummary, list_cases
from tieline.intake import Reader
from tieline.kernel.errors import AskPerson
from tieline.posting import list_stops
from tieline.reconciliation import Check, list_checks, list_differences
from tieline.runtime.database import Database
from tieline.runtime.leases import Leases
from tieline.runtime.work import AtOnce, Done
from tieline.sdk import LineTotal, Page, RawRecord, Translated
from tieline.services.conservation_checks import (
    ASK_SOURCE,
    ASK_TARGET,
    SOURCE_DIFFERS,
    TARGET_DIFFERS,
    ConservationChecks,
)
from tieline.services.reading import Reading

DAY = date(2026, 10, 7)
HOUR = TimeEntry(
    person_ref="anna", project_ref="p1", task_ref="t1", labor_category=None, work_date=DAY,
    zone="Europe/Berlin", seconds=3600, quantum_seconds=36, started_at=None, ended_at=None,
    billable=True, approval=Approval.APPROVED, approval_word="locked", approver_ref=None,
    approved_at=None, created_at=None, narrative=None,
)  # fmt: skip


class BothSides:
    """A time tool and an ERP in one: what they are asked, and what they say."""

    def __init__(self) -> None:
        self.hours: dict[str, TimeEntry] = {}
        self.totals: dict[str, int] = {}
        self.asked = 0
        self.is_refusing = False
        self.object = "time_entry"
        self.source_at: datetime | None = None
        self.reads_more_seconds = 0

    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        self.asked += 1
        if self.is_refusing:
            raise AskPerson("the folder may not be read")
        records = tuple(
            RawRecord(
                object=self.object,
                source_ref=ref,
                body=repr(self.hours[ref]).encode(),
                source_at=self.source_at,
            )
            for ref in self.hours
        )
        yield Page(records=records, cursor="", total=len(records), is_last=True)

    def translate(self, *, record: RawRecord) -> Translated:
        hour = self.hours[record.source_ref]
        return Translated(noun=replace(hour, seconds=hour.seconds + self.reads_more_seconds))

    def line_totals(
        self, *, entity_code: str, starts_on: date, ends_on: date
    ) -> Sequence[LineTotal]:
        self.asked += 1
        return [
            LineTotal(project_code=code, seconds=seconds, lines=1)
            for code, seconds in self.totals.items()
        ]


class World:
    """A firm with two hours in the ERP, one that needs attention, and both systems to ask."""

    def __init__(self, worker: Database) -> None:
        self.worker = worker
        self.clock = FixedClock(NOW)
        self.sides = BothSides()
        self.checks = ConservationChecks(
            database=worker, connectors=OneConnector(self.sides), clock=self.clock
        )
        with worker.transaction() as connection:
            self.firm = Firm(connection).found()
            self.project = self.firm.project("P-DE")
            for ref in ("1", "2"):
                self.firm.hour(ref, project=self.project)
            self.firm.judge(self.firm.entry("3"), "held", project=self.project)
            connection.execute(
                "UPDATE effect SET posting_hash = NULL"  # As the verdicts of this firm have none.
            )
            connection.execute(
                "UPDATE connection SET system = 'filedrop', config = '{\"streams\": [\"files\"]}'"
                " WHERE connection_key = 'clock'"
            )
        self.sides.hours = dict.fromkeys(("1", "2", "3"), HOUR)
        self.sides.totals = {"work-P-DE": 7200}

    def ask(self) -> None:
        """Let an hour pass and ask both sides."""
        self.clock.instant += timedelta(hours=1)
        assert self.checks.ask_source(AtOnce(), "clock") == Done()
        assert self.checks.ask_target(AtOnce(), "books") == Done()

    def found(self) -> dict[str, Check]:
        with self.worker.transaction() as connection:
            return {each.side: each for each in list_checks(connection)}

    def differences(self) -> list[tuple[str, str, int, int, int]]:
        with self.worker.transaction() as connection:
            return [
                (each.side, each.project_ref, each.theirs_seconds, each.ours_seconds, each.checks)
                for each in list_differences(connection)
            ]

    def stops(self) -> list[tuple[str | None, ...]]:
        with self.worker.transaction() as connection:
            return sorted(
                (
                    each.check_name,
                    each.source_connection,
                    each.target_connection,
                    each.entity_code,
                    each.period_code,
                    each.project_code,
                )
                for each in list_stops(connection)
            )

    def incidents(self, reason: str) -> tuple[CaseSummary, ...]:
        with self.worker.transaction() as connection:
            return list_cases(connection, reason=reason)

    def due(self) -> set[tuple[str, str]]:
        self.checks.schedule_due()
        rows = self.rows("SELECT kind, subject FROM work_item WHERE state = 'waiting'")
        return {(row["kind"], row["subject"]) for row in rows}

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.worker.transaction() as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def world(worker_database: Database) -> World:
    return World(worker_database)


class TestACheck:
    def test_is_not_made_until_somebody_was_asked(self, world: World) -> None:
        found = world.found()

        assert {side: each.asked_at for side, each in found.items()} == {
            "source": None,
            "target": None,
        }

    def test_keeps_what_both_sides_say_with_the_instant(self, world: World) -> None:
        world.ask()

        source, target = world.found()["source"], world.found()["target"]
        assert (source.theirs_seconds, source.ours_seconds, source.gap_seconds) == (10800, 10800, 0)
        assert (target.theirs_seconds, target.ours_seconds, target.gap_seconds) == (7200, 7200, 0)
        assert source.asked_at == target.asked_at == world.clock.now()

    def test_is_due_once_an_hour_and_one_at_a_time(self, world: World) -> None:
        both = {(ASK_SOURCE, "clock"), (ASK_TARGET, "books")}
        assert world.due() == both
        assert world.due() == both
        world.rows("UPDATE work_item SET state = 'done'")
        world.ask()

        assert world.due() == set()
        world.clock.instant += timedelta(minutes=59)
        assert world.due() == set()
        world.clock.instant += timedelta(minutes=1)
        assert world.due() == both

    def test_of_a_paused_connection_is_not_due(self, world: World) -> None:
        world.rows("UPDATE connection SET paused = true")

        assert world.due() == set()

    def test_stays_as_old_as_it_is_when_nobody_answers(self, world: World) -> None:
        world.ask()
        before = world.found()["source"]
        world.sides.is_refusing = True

        world.ask()

        assert world.found()["source"] == before


class TestAWholeRead:
    @pytest.fixture
    def reading(self, world: World) -> Reading:
        """Read the time tool whole, as the schedule does to find what is gone."""
        world.rows("UPDATE connection SET system = 'harvest' WHERE connection_key = 'clock'")
        world.rows("UPDATE time_entry SET object = 'time_entries'")
        world.sides.object = "time_entries"
        connectors = OneConnector(world.sides)
        return Reading(
            database=world.worker,
            connectors=connectors,
            reader=Reader(
                database=world.worker,
                connectors=connectors,
                leases=Leases(database=world.worker, holder="a test"),
                clock=world.clock,
                material_key=b"key",
                on_batch=lambda _connection, _batch_id, _correlation_id: None,
            ),
            time_validation=None,  # type: ignore[arg-type]
            checks=world.checks,
            clock=world.clock,
        )

    def test_is_a_check_without_a_call_of_its_own(self, world: World, reading: Reading) -> None:
        reading.read_whole()

        source = world.found()["source"]
        assert source.asked_at == world.clock.now()
        assert (source.theirs_seconds, source.gap_seconds) == (10800, 0)
        assert world.sides.asked == 1

    def test_that_a_person_asked_for_is_one_too(self, world: World, reading: Reading) -> None:
        world.rows(
            'UPDATE connection SET config = \'{"streams": ["time_entries"]}\''
            " WHERE connection_key = 'clock'"
        )

        reading.poll_now(connection_key="clock", is_full=False)
        before = world.found()["source"].asked_at
        reading.poll_now(connection_key="clock", is_full=True)

        assert before is None
        assert world.found()["source"].asked_at == world.clock.now()

    def test_that_breaks_is_none(self, world: World, reading: Reading) -> None:
        world.sides.is_refusing = True

        reading.read_whole()

        assert world.found()["source"].asked_at is None

    def test_that_shows_an_older_state_is_not_compared_with_the_newer(
        self, world: World, reading: Reading
    ) -> None:
        world.sides.source_at = NOW
        world.sides.hours["1"] = replace(HOUR, seconds=1800)
        reading.read_whole()
        assert world.found()["source"].theirs_seconds == 9000

        world.clock.instant += timedelta(hours=1)
        world.sides.source_at = NOW - timedelta(days=1)
        world.sides.hours["1"] = HOUR
        reading.read_whole()

        source = world.found()["source"]
        assert (source.gap_seconds, source.apart_seconds) == (0, 3600 + 3600 + 3600)

    def test_believes_what_follows_a_record_of_the_far_future(
        self, world: World, reading: Reading
    ) -> None:
        world.sides.source_at = datetime(9999, 12, 31, tzinfo=UTC)
        world.sides.hours["1"] = replace(HOUR, seconds=1800)
        reading.read_whole()

        world.clock.instant += timedelta(hours=1)
        world.sides.source_at = world.clock.instant
        world.sides.hours["1"] = replace(HOUR, seconds=900)
        reading.read_whole()

        newest = world.rows(
            "SELECT v.seconds FROM time_entry_version v JOIN time_entry t USING (entry_id)"
            " WHERE v.is_newest AND t.source_ref = '1'"
        )
        assert [row["seconds"] for row in newest] == [900]

    def test_by_a_new_release_that_reads_otherwise_is_a_case_and_moves_nothing(
        self, world: World, reading: Reading
    ) -> None:
        reading.read_whole()
        connectors = OneConnector(world.sides, translator=1)
        reader = replace(reading.reader, connectors=connectors)
        anew = replace(reading, connectors=connectors, reader=reader)
        versions = world.rows("SELECT * FROM time_entry_version ORDER BY entry_id, version")

        world.sides.reads_more_seconds = 1800
        world.clock.instant += timedelta(hours=1)
        anew.read_whole()

        assert len(world.incidents("read.understood_otherwise")) == 1
        (told,) = world.rows("SELECT details ->> 'problem' AS problem FROM case_file")
        assert "3 hours" in told["problem"]
        assert versions == world.rows("SELECT * FROM time_entry_version ORDER BY entry_id, version")
        world.sides.reads_more_seconds = 0
        world.clock.instant += timedelta(hours=1)
        anew.read_whole()
        assert world.incidents("read.understood_otherwise") == ()


class TestADifference:
    def test_is_an_incident_when_it_lasts_and_closes_when_it_is_mended(self, world: World) -> None:
        world.sides.hours["1"] = replace(HOUR, seconds=5400)
        world.ask()
        assert world.differences() == [("source", "p1", 12600, 10800, 1)]
        assert world.incidents(SOURCE_DIFFERS) == ()

        world.ask()
        (incident,) = world.incidents(SOURCE_DIFFERS)
        assert (incident.is_incident, incident.entity_code, incident.seconds) == (True, "DE", 1800)

        world.sides.hours["1"] = HOUR
        world.ask()
        assert world.incidents(SOURCE_DIFFERS) == ()
        assert world.differences() == []

    def test_is_found_where_an_hour_never_came_to_us(self, world: World) -> None:
        world.sides.hours["4"] = HOUR

        world.ask()

        assert world.differences() == [("source", "p1", 3600, 0, 1)]

    def test_is_found_where_an_hour_stands_on_another_project(self, world: World) -> None:
        world.sides.hours["1"] = replace(HOUR, project_ref="p2")

        world.ask()

        assert sorted(world.differences()) == [
            ("source", "p1", 7200, 10800, 1),
            ("source", "p2", 3600, 0, 1),
        ]
        assert world.found()["source"].gap_seconds == 7200

    def test_of_the_target_is_an_incident_when_it_lasts(self, world: World) -> None:
        world.sides.totals["work-P-DE"] = 3600
        world.ask()
        world.ask()

        (incident,) = world.incidents(TARGET_DIFFERS)
        assert (incident.thing_key, incident.seconds) == ("books:DE", 3600)
        assert world.differences() == [("target", "work-P-DE", 3600, 7200, 2)]


class TestAStop:
    def test_follows_the_second_reading_and_goes_after_two_that_agree(self, world: World) -> None:
        for ref in ("p1", "p2"):
            world.rows(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                " SELECT 'clock', 'project', %s, project_id, 'test', %s FROM project WHERE %s = 'p1'",
                ref, NOW, ref,
            )  # fmt: skip
        world.sides.hours["4"] = HOUR  # It never came to us.
        world.sides.hours["5"] = replace(HOUR, project_ref="p2")  # Of a project that nobody linked.
        world.sides.totals["work-P-DE"] = 3600
        world.ask()
        assert world.stops() == []

        world.ask()
        assert world.stops() == [
            ("reconciliation.source_differs", "clock", None, "DE", "2026-10", "P-DE"),
            ("reconciliation.target_differs", None, "books", "DE", "2026-10", "P-DE"),
        ]

        world.sides.totals["work-P-DE"] = 7200
        world.sides.is_refusing = True
        world.ask()
        world.ask()
        assert [stop[0] for stop in world.stops()] == ["reconciliation.source_differs"]
        states = world.rows("SELECT check_name, state FROM check_result ORDER BY 1")
        assert [row["state"] for row in states] == ["not_checked", "green"]


class TestWhatIsNoDifference:
    def test_is_an_hour_that_the_source_no_longer_shows(self, world: World) -> None:
        del world.sides.hours["1"]

        world.ask()

        source = world.found()["source"]
        assert (source.gap_seconds, source.apart_seconds) == (0, 3600)

    @pytest.mark.parametrize("how", ["deleted", "withdrawn"])
    def test_is_an_hour_that_is_being_taken_back(self, world: World, how: str) -> None:
        change = "is_deleted = true" if how == "deleted" else "approval = 'not_approved'"
        world.rows(
            f"UPDATE time_entry_version v SET {change} FROM time_entry t"
            " WHERE t.entry_id = v.entry_id AND t.source_ref = '1'"
        )
        if how == "deleted":
            del world.sides.hours["1"]
        else:
            world.sides.hours["1"] = replace(HOUR, approval=Approval.NOT_APPROVED)

        world.ask()

        assert world.rows("SELECT place FROM entry_place WHERE place = 'leaving'") != []
        assert world.found()["source"].gap_seconds == 0

    def test_is_an_hour_from_before_the_start(self, world: World) -> None:
        with world.worker.transaction() as connection:
            world.firm.connection = connection
            world.firm.judge(world.firm.entry("0"), "outside", project=world.project)
        world.sides.hours["0"] = HOUR

        world.ask()

        assert world.found()["source"].gap_seconds == 0

    def test_is_an_hour_that_is_on_its_way_to_the_target(self, world: World) -> None:
        with world.worker.transaction() as connection:
            world.firm.connection = connection
            entry_id = world.firm.entry("5")
            world.firm.judge(entry_id, "cleared", project=world.project)
            world.firm.post(entry_id, until="UNKNOWN")
        world.sides.totals["work-P-DE"] = 10800

        world.ask()

        target = world.found()["target"]
        assert (target.gap_seconds, target.apart_seconds) == (0, 10800)

    def test_is_a_project_of_the_target_that_is_none_of_ours(self, world: World) -> None:
        world.sides.totals["a project of somebody else"] = 999

        world.ask()

        assert world.found()["target"].gap_seconds == 0
