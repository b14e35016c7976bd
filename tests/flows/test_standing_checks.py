"""Our own books are checked all the time: what is wrong stops its scope, and no other one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection, errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from tests.conftest import PreparedCluster
from tests.rooms.casework.hand_made_firm import NOW, Firm
from tests.support.target import FixedClock

from tieline.canonical import TimeLineCommand
from tieline.canonical.commands import content_hash
from tieline.casework import list_cases
from tieline.governance import approve
from tieline.kernel.errors import UserMistake
from tieline.posting import StandingStop, list_stops
from tieline.reconciliation import NOT_CHECKED, OWN_CHECKS, list_results, sum_currencies
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.standing_checks import StandingChecks, carry_out_lift, propose_lift

Row = dict[str, Any]
DAY = date(2026, 10, 7)
_OF_1: LiteralString = "(SELECT entry_id FROM time_entry WHERE source_ref = '1')"
# What somebody past Tieline may do to its tables: the check that finds it, and whether the project is known.
CORRUPTIONS: dict[str, tuple[LiteralString, str, bool]] = {
    "a ledger line is removed": (
        f"DELETE FROM ledger_line WHERE entry_id = {_OF_1}", "check.ledger", True),
    "a ledger line has another amount": (
        f"UPDATE ledger_line SET amount = amount + 0.01 WHERE entry_id = {_OF_1}", "check.ledger", True),
    "a ledger line has other hours": (
        f"UPDATE ledger_line SET seconds = 1 WHERE entry_id = {_OF_1}", "check.ledger", True),
    "a ledger line has another currency": (
        f"UPDATE ledger_line SET currency = 'USD' WHERE entry_id = {_OF_1}", "check.ledger", True),
    "a ledger line stands on another project": (
        ("UPDATE ledger_line SET project_id = (SELECT project_id FROM project WHERE project_code = 'B')"
        f" WHERE entry_id = {_OF_1}"), "check.ledger", True),
    "a ledger line stands for another day": (
        f"UPDATE ledger_line SET work_date = '2026-10-08' WHERE entry_id = {_OF_1}", "check.ledger", True),
    "a ledger line claims another stored length": (
        f"UPDATE ledger_line SET target_seconds = 7 WHERE entry_id = {_OF_1}", "check.ledger", True),
    "a ledger line stands twice": (
        ("INSERT INTO ledger_line SELECT (jsonb_populate_record(l, '{\"booked_month\": \"2026-11-01\","
        f" \"line_id\": 999999}}')).* FROM ledger_line l WHERE entry_id = {_OF_1}"), "check.once", True),
    "a confirmed write is refused afterwards": (
        f"UPDATE effect SET state = 'REJECTED' WHERE entry_id = {_OF_1}", "check.ledger", True),
    "a planned write is confirmed without being sent": (
        ("UPDATE effect SET state = 'CONFIRMED' WHERE entry_id ="
        " (SELECT entry_id FROM time_entry WHERE source_ref = 'A-waits')"), "check.ledger", True),
    "a confirmed write and its ledger line have another amount": (
        (f"WITH e AS (UPDATE effect SET amount = 1 WHERE entry_id = {_OF_1})"
        f" UPDATE ledger_line SET amount = 1 WHERE entry_id = {_OF_1}"), "check.sent", True),
    "a verdict has another amount": (
        f"UPDATE verdict SET amount = 1 WHERE entry_id = {_OF_1}", "check.sent", True),
    "everything we hold of a line has other hours than were sent": (
        (f"WITH e AS (UPDATE effect SET seconds = 1800 WHERE entry_id = {_OF_1}),"
        f" v AS (UPDATE verdict SET seconds = 1800 WHERE entry_id = {_OF_1})"
        f" UPDATE ledger_line SET seconds = 1800, target_seconds = 1800 WHERE entry_id = {_OF_1}"),
        "check.sent", True),
    "an hour is confirmed under two keys": (
        ("INSERT INTO effect SELECT (jsonb_populate_record(e, jsonb_build_object('business_key',"
        f" gen_random_uuid(), 'effect_no', 2))).* FROM effect e WHERE entry_id = {_OF_1}"), "check.once", True),
    "the newest version of an hour is gone": (
        f"DELETE FROM time_entry_version WHERE entry_id = {_OF_1}", "check.hours", True),
    "what waits to be sent is forgotten": (
        ("DELETE FROM unsettled_effect WHERE entry_id ="
        " (SELECT entry_id FROM time_entry WHERE source_ref = 'A-waits')"), "check.open", True),
    "what waits is listed under another state": (
        ("UPDATE unsettled_effect SET state = 'UNKNOWN' WHERE entry_id ="
        " (SELECT entry_id FROM time_entry WHERE source_ref = 'A-waits')"), "check.open", True),
    "an hour is gone altogether": (
        (f"WITH v AS (DELETE FROM time_entry_version WHERE entry_id = {_OF_1})"
        f" DELETE FROM time_entry WHERE source_ref = '1'"), "check.hours", False),
}  # fmt: skip
# What shows in a second check as well.
_ALSO = {
    "an hour is confirmed under two keys": {"check.ledger"},
    "a ledger line claims another stored length": set[str](),
    "a planned write is confirmed without being sent": {"check.sent", "check.open"},
    "a confirmed write is refused afterwards": {"check.open"},
}


class OneConnection:
    """Give one connection as the database, so that everything can be rolled back."""

    def __init__(self, connection: Connection[Row]) -> None:
        self.connection = connection

    @contextmanager
    def transaction(self) -> Iterator[Connection[Row]]:
        with self.connection.transaction():
            yield self.connection


class World:
    """Three projects of two legal entities with hours in the ERP, and one of each that waits."""

    def __init__(self, connection: Connection[Row]) -> None:
        self.connection = connection
        self.clock = FixedClock(NOW)
        self.checks = StandingChecks(
            database=OneConnection(connection),  # type: ignore[arg-type]
            clock=self.clock,
        )
        self.firm = Firm(connection).found()
        self.projects = {
            code: self.firm.project(code, entity_code=entity)
            for code, entity in (("A", "DE"), ("B", "DE"), ("C", "UK"))
        }
        for number, project in enumerate(self.projects.values(), start=1):
            self.firm.hour(f"{number}", project=project)
            self.firm.hour(f"{number}0", project=project, seconds=5400)
        self.waiting = {code: self._wait(code) for code in self.projects}
        self._send_as_we_would()
        connection.execute("UPDATE intake_batch SET state = 'judged'")
        connection.execute(
            "INSERT INTO raw_record (received_on, connection_key, source_epoch, object, source_ref,"
            " raw_hash, body, batch_id) SELECT %s, connection_key, 0, object, source_ref, '', '',"
            " %s FROM time_entry",
            (DAY, self.firm.batch_id),
        )

    def look(self) -> list[StandingStop]:
        """Let five minutes pass, make every check, and return what is stopped."""
        self.clock.instant += timedelta(minutes=5)
        self.checks.look()
        return list(list_stops(self.connection))

    def corrupt(self, statement: LiteralString) -> None:
        """Change what triggers and keys protect, as only the superuser can."""
        self.connection.execute("SET LOCAL session_replication_role = replica")
        changed = self.connection.execute(statement).rowcount
        self.connection.execute("SET LOCAL session_replication_role = origin")
        assert changed >= 1

    def may_send(self, code: str) -> bool:
        """Say whether the worker may write an INTENT by hand for the hour that waits."""
        try:
            with self.connection.transaction():
                self.connection.execute("SET LOCAL ROLE tieline_worker")
                self.connection.execute(
                    "UPDATE effect SET state = 'INTENT', payload_hash = 'x', attempt = 1"
                    " WHERE business_key = %s",
                    (self.waiting[code],),
                )
                raise _Undo
        except _Undo:
            return True
        except errors.CheckViolation as error:
            return "stands in the way" not in str(error)

    def _wait(self, code: str) -> UUID:
        entry_id = self.firm.entry(f"{code}-waits")
        self.firm.judge(entry_id, "cleared", project=self.projects[code])
        return self.firm.post(entry_id, until="PLANNED")

    def _send_as_we_would(self) -> None:
        for entity in ("DE", "UK"):
            self.connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because,"
                " recorded_at) VALUES ('books', 'employee', %s, %s, %s, 'test', %s)",
                (f"person-{entity}", self.firm.person_id, entity, NOW),
            )
        for project in self.projects.values():
            for seconds in (3600, 5400):
                self.connection.execute(
                    "UPDATE effect SET payload_hash = %s WHERE project_id = %s AND seconds = %s",
                    (_digest(project, seconds), project["project_id"], seconds),
                )


class _Undo(Exception):
    pass


def _digest(project: Row, seconds: int) -> str:
    line = TimeLineCommand(
        business_key=UUID(int=0),
        entity_code=project["entity_code"],
        person_code=f"person-{project['entity_code']}",
        task_code=f"task-{project['code']}",
        work_date=DAY,
        seconds=seconds,
        narrative=None,
    )
    return content_hash(line.content())


@pytest.fixture
def world(database: Dsns, prepared_cluster: PreparedCluster) -> Iterator[World]:
    name = psycopg.conninfo.conninfo_to_dict(database.worker)["dbname"]
    dsn = make_conninfo(prepared_cluster.cluster.superuser_dsn, dbname=name)
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        yield World(connection)
        connection.rollback()


class TestOurOwnBooks:
    def test_are_green_and_add_up_as_they_should(self, world: World) -> None:
        results = list_results(world.connection)
        assert {each.state for each in results} == {NOT_CHECKED}

        assert world.look() == []

        own = [each for each in list_results(world.connection) if each.subject == ""]
        assert {(each.check_name, each.state) for each in own} == {
            (check, "green") for check in OWN_CHECKS
        }
        assert [
            (each.currency, each.confirmed_amount, each.ledger_amount)
            for each in sum_currencies(world.connection)
        ] == [
            ("EUR", Decimal(750), Decimal(750)),
            ("GBP", Decimal(375), Decimal(375)),
        ]

    def test_tell_each_corruption_and_stop_its_scope_alone(self, world: World) -> None:
        wrong: dict[str, object] = {}
        for name, (statement, check, is_project_known) in CORRUPTIONS.items():
            with world.connection.transaction(force_rollback=True):
                world.corrupt(statement)
                # What of a contract is used up is a sum of its own: what it finds stands in a test of its own.
                stops = [each for each in world.look() if each.check_name != "check.used"]
                found = {each.check_name for each in stops} - _ALSO.get(name, set())
                places = {(each.entity_code, each.period_code, each.project_code) for each in stops}
                sent = {code: world.may_send(code) for code in "ABC"}
                cases = {case.reason for case in list_cases(world.connection) if case.is_incident}
            expected = (
                {check},
                {("DE", "2026-10", "A") if is_project_known else (None, None, None)},
                {"A": False, "B": is_project_known, "C": is_project_known},
                True,
            )
            if name == "a planned write is confirmed without being sent":
                sent["A"] = False  # The hour that waits is the one that was changed.
            said = (found, places, sent, check in cases)
            if said != expected:
                wrong[name] = said

        assert wrong == {}

    @pytest.mark.parametrize(
        "statement",
        [
            f"UPDATE effect SET amount = 1 WHERE entry_id = {_OF_1}",
            f"UPDATE effect SET state = 'REJECTED' WHERE entry_id = {_OF_1}",
            "DELETE FROM standing_sum WHERE contract_id = (SELECT contract_id FROM project WHERE project_code = 'A')",
            "DELETE FROM scarce_hour",
        ],
    )
    def test_tell_what_a_contract_has_used_up_otherwise(
        self, world: World, statement: LiteralString
    ) -> None:
        world.corrupt(
            "UPDATE verdict SET neighbor_keys = ARRAY['cap:' || contract_id] WHERE entry_id ="
            " (SELECT entry_id FROM time_entry WHERE source_ref = 'A-waits')"
        )
        world.connection.execute(
            "INSERT INTO scarce_hour SELECT v.neighbor_keys[1], t.entry_id"
            " FROM time_entry t JOIN verdict v USING (verdict_id) WHERE t.source_ref = 'A-waits'"
        )
        assert world.look() == []

        world.corrupt(statement)

        found = {
            (each.entity_code, each.project_code)
            for each in world.look()
            if each.check_name == "check.used"
        }
        assert found == {("DE", "A")}
        assert [world.may_send(code) for code in "ABC"] == [False, True, True]

    def test_that_cannot_be_asked_are_not_checked(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(OWN_CHECKS, "check.once", "SELECT 1 / 0")

        world.look()

        (result,) = [r for r in list_results(world.connection) if r.check_name == "check.once"]
        assert (result.state, result.made_at) == (NOT_CHECKED, None)
        assert "did not answer" in result.why


class TestAStop:
    @pytest.fixture
    def stopped(self, world: World) -> World:
        world.corrupt(f"UPDATE ledger_line SET amount = amount + 1 WHERE entry_id = {_OF_1}")
        assert len(world.look()) == 1
        return world

    def test_is_lifted_when_its_check_is_green_twice(self, stopped: World) -> None:
        stopped.corrupt(f"UPDATE ledger_line SET amount = amount - 1 WHERE entry_id = {_OF_1}")

        assert [each.green_checks for each in stopped.look()] == [1]
        assert not stopped.may_send("A")

        assert stopped.look() == []
        assert stopped.may_send("A")
        assert list_cases(stopped.connection, reason="check.ledger") == ()
        audited = stopped.connection.execute("SELECT actor, action FROM audit ORDER BY audit_id")
        assert [(row["actor"], row["action"]) for row in audited.fetchall()] == [
            ("check:check.ledger", "posting.stopped"),
            ("check:check.ledger", "posting.resumed"),
        ]

    def test_is_lifted_by_two_people_until_its_check_finds_something_else(
        self, stopped: World
    ) -> None:
        connection = stopped.connection
        (stop,) = list_stops(connection)
        asked = propose_lift(
            connection, stop_id=stop.stop_id, reason="a known repair", by="ann", through="", now=NOW
        )
        with pytest.raises(UserMistake, match="may not approve"):
            approve(connection, proposal_id=asked.proposal_id, by="ann", now=NOW)
        agreed = approve(connection, proposal_id=asked.proposal_id, by="bob", now=NOW)

        carry_out_lift(connection, agreed, NOW)

        assert stopped.may_send("A")
        assert stopped.look() == []
        assert len(list_cases(connection, reason="check.ledger")) == 1
        stopped.corrupt(f"UPDATE ledger_line SET amount = amount + 1 WHERE entry_id = {_OF_1}")
        assert len(stopped.look()) == 1

    def test_is_not_lifted_for_what_nobody_agreed_to(self, stopped: World) -> None:
        connection = stopped.connection
        (stop,) = list_stops(connection)
        asked = propose_lift(
            connection, stop_id=stop.stop_id, reason="a known repair", by="ann", through="", now=NOW
        )
        stopped.corrupt("UPDATE ledger_line SET amount = 0 WHERE entity_code = 'DE'")
        stopped.look()
        agreed = approve(connection, proposal_id=asked.proposal_id, by="bob", now=NOW)

        with pytest.raises(UserMistake, match="found something else"):
            carry_out_lift(connection, agreed, NOW)

    @pytest.mark.parametrize("state", ["INTENT", "HANDED_OVER"])
    def test_refuses_what_leaves_our_hands(self, stopped: World, state: str) -> None:
        stopped.corrupt(
            "INSERT INTO import_file_line (file_id, business_key, line_number, person_code, task_code,"
            " work_date, seconds, given_at, valid_until) SELECT gen_random_uuid(), "
            f"'{stopped.waiting['A']}', 1, 'E-1', 'T-1', '2026-10-05', 3600, now(), now()"
        )
        stopped.connection.execute("SET LOCAL ROLE tieline_worker")

        with pytest.raises(errors.CheckViolation, match="stands in the way"):
            stopped.connection.execute(
                "UPDATE effect SET state = %s, payload_hash = 'x' WHERE business_key = %s",
                (state, stopped.waiting["A"]),
            )

    def test_holds_invoices_and_no_master_data(self, stopped: World) -> None:
        project_id = stopped.projects["A"]["project_id"]

        def stops(noun: str) -> int:
            row = stopped.connection.execute(
                "SELECT count(*) AS stops FROM stops_over('tieline', 'books', 'DE', NULL, %s, %s)",
                (project_id, noun),
            ).fetchone()
            assert row is not None
            return int(row["stops"])

        nouns = ("invoice", "journal", "client", "project", "task", "status")
        assert {noun: stops(noun) for noun in nouns} == {
            "invoice": 1, "journal": 1, "client": 0, "project": 0, "task": 0, "status": 0,
        }  # fmt: skip


class TestTheWorker:
    def test_cannot_forget_a_stop(self, worker_database: Database) -> None:
        with (
            pytest.raises(errors.InsufficientPrivilege),
            worker_database.transaction() as connection,
        ):
            connection.execute("DELETE FROM posting_stop")
