"""What nobody has approved is judged early, by the rules that will decide, and nothing of it can be posted."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.support.scene import (
    DAY,
    NOW,
    Scene,
    add_hours,
    approve_shipped_rules,
    build_scene,
    complete_scene,
)
from tests.support.target import FixedClock

from tieline.canonical import StaffingFact
from tieline.kernel.errors import UserMistake
from tieline.ledger import plan
from tieline.notices import ALL_STAFF, Reached, read_directory, set_reach
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.early_look import HELD, EarlyLook, read_early_look
from tieline.services.early_telling import EarlyTold, tell_early, tell_early_due
from tieline.services.message_desk import Desk
from tieline.services.message_text import Speech
from tieline.validation import EarlyVerdict, judge

LATER = NOW + timedelta(minutes=1)
_HOUR = 3600
_MONDAY = 0


@pytest.fixture
def scene(database: Dsns) -> Scene:
    """Enter three hours that nobody approved: two are in order, one makes the day too long."""
    with psycopg.connect(database.owner, row_factory=psycopg.rows.dict_row) as connection:
        made = build_scene(connection)
        complete_scene(connection, made)
        approve_shipped_rules(connection)
        entries = add_hours(connection, made, seconds=[2 * _HOUR, 3 * _HOUR, 4 * _HOUR])
        connection.execute("UPDATE time_entry SET verdict_id = NULL")
        connection.execute("DELETE FROM verdict")
        connection.execute("UPDATE time_entry_version SET approval = 'not_approved'")
        connection.execute(
            "UPDATE time_entry_version SET work_date = %s, seconds = 25 * 3600 WHERE entry_id = %s",
            (DAY + timedelta(days=1), entries[2]),
        )
    return made


@pytest.fixture
def judge_database(database: Dsns) -> Any:
    """Give the role that reads everything and writes nothing."""
    opened = Database(database.judge, pool_max=1, application_name="test-judge").open()
    yield opened
    opened.close()


class TestTheEarlyLook:
    def test_says_what_would_be_held_and_leaves_nothing_that_could_be_posted(
        self, scene: Scene, worker_database: Database, judge_database: Database
    ) -> None:
        _judge(worker_database, _keys(worker_database), NOW)
        early = _look(judge_database)

        assert sorted((each.seconds, each.outcome) for each in early.hours) == [
            (2 * _HOUR, "cleared"),
            (3 * _HOUR, "cleared"),
            (25 * _HOUR, "held"),
        ]
        (held,) = early.held
        assert "time.day_over_maximum" in [reason.code for reason in held.reasons]
        assert held.project_code == "P1"
        assert early.held_amounts == {"EUR": 3750}
        assert early.of(state=HELD, project_code="P2").hours == ()

        # Not by what was stored, ...
        assert _column(worker_database, "SELECT outcome FROM verdict") == ["outside"] * 3
        with worker_database.transaction() as connection:
            booked = plan(connection, entry_ids=None, now=LATER)
        assert (booked.bookings, booked.scopes) == (0, ())
        assert _column(worker_database, "SELECT business_key FROM effect") == []
        # ... not by hand, ...
        cleared = next(each for each in early.hours if each.outcome == "cleared")
        for outcome in ("outside", "cleared"):
            with (
                pytest.raises(psycopg.IntegrityError),
                worker_database.transaction() as connection,
            ):
                _post_by_hand(connection, scene, cleared, outcome=outcome)
        # ... and not by who looks.
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            judge_database.transaction() as connection,
        ):
            connection.execute("UPDATE verdict SET outcome = 'cleared'")

    def test_is_told_to_who_worked_and_who_approves_once_a_day(
        self, scene: Scene, worker_database: Database, judge_database: Database, database: Dsns
    ) -> None:
        with psycopg.connect(database.owner, row_factory=psycopg.rows.dict_row) as connection:
            boss = _boss(connection)
            with pytest.raises(UserMistake, match="reach staff:all"):
                _tell(connection, _look(judge_database))
        _reach_staff(database)
        early = _look(judge_database)

        with worker_database.transaction() as connection:
            first, again = _tell(connection, early), _tell(connection, early)
            told = {
                row["owner"]: (row["subject"], row["body"])
                for row in connection.execute("SELECT owner, subject, body FROM notice").fetchall()
            }

        assert (first.written, again.written, again.not_written) == (2, 0, 2)
        assert set(told) == {f"staff:{scene.person_id}", f"staff:{boss}"}
        assert told[f"staff:{scene.person_id}"][0] == "25.00 h of yours would be held"
        subject, body = told[f"staff:{boss}"]
        assert subject == "25.00 h that you approve would be held"
        assert f"- P1, 25.00 h on {DAY + timedelta(days=1)}: " in body
        assert "Of your hours" not in body

    def test_is_told_to_who_manages_the_project_as_the_time_tool_says(
        self, scene: Scene, worker_database: Database, judge_database: Database, database: Dsns
    ) -> None:
        with psycopg.connect(database.owner, row_factory=psycopg.rows.dict_row) as connection:
            boss = _boss(connection)
            leader, gone = _manager(connection, scene, "77"), _manager(connection, scene, "78")
            _say_manages(connection, scene, by_ref="77")
            _say_manages(connection, scene, by_ref="78", is_active="false")
            _say_manages(connection, scene, by_email=f"{boss}@X.example", until=NOW.date())
        _reach_staff(database)
        early = _look(judge_database)
        with worker_database.transaction() as connection:
            _tell(connection, early)
            told = {
                row["owner"]: (row["subject"], row["body"])
                for row in connection.execute("SELECT owner, subject, body FROM notice").fetchall()
            }

        assert {key for each in early.hours for key in each.managers} == {leader}
        assert early.of(manager_id=leader).hours == early.hours
        assert early.of(manager_id=gone).hours == early.of(manager_id=boss).hours == ()
        subject, body = told[f"staff:{leader}"]
        assert subject == "25.00 h on your projects would be held"
        assert f"- P1, 25.00 h on {DAY + timedelta(days=1)}: " in body
        assert "your projects" not in told[f"staff:{boss}"][0]
        assert f"staff:{gone}" not in told

    def test_tells_nobody_of_one_hour_twice(
        self, scene: Scene, judge_database: Database, worker_database: Database, database: Dsns
    ) -> None:
        with psycopg.connect(database.owner, row_factory=psycopg.rows.dict_row) as connection:
            boss = _boss(connection)
            tomorrow = NOW.date() + timedelta(days=1)
            _say_manages(connection, scene, by_email=f"{boss}@x.example", until=tomorrow)
        _reach_staff(database)
        with worker_database.transaction() as connection:
            _tell(connection, _look(judge_database))
        told = _column(worker_database, f"SELECT subject FROM notice WHERE owner = 'staff:{boss}'")

        assert told == ["25.00 h that you approve would be held"]

    def test_is_told_on_the_days_of_the_firm_from_the_hour_on_its_own_clock(
        self, scene: Scene, worker_database: Database, database: Dsns
    ) -> None:
        with psycopg.connect(database.owner, row_factory=psycopg.rows.dict_row) as connection:
            _boss(connection)
        monday = NOW + timedelta(days=7 - NOW.weekday())
        # Berlin is an hour or two ahead of this.
        early, late = monday.replace(hour=5, minute=30), monday.replace(hour=8)
        unreached = _tell_due(worker_database, late)
        _reach_staff(database)

        assert unreached == 0
        assert _tell_due(worker_database, early) == 0
        assert _tell_due(worker_database, late - timedelta(days=1)) == 0
        assert _told_so_far(worker_database) == 0
        assert _tell_due(worker_database, late) == 1
        assert _tell_due(worker_database, late + timedelta(hours=3)) == 0
        assert _told_so_far(worker_database) == 2
        assert _tell_due(worker_database, late + timedelta(days=7)) == 1
        assert _told_so_far(worker_database) == 4

    def test_is_what_is_decided_once_they_are_approved(
        self, scene: Scene, worker_database: Database, judge_database: Database
    ) -> None:
        early = {each.entry_id: _told(each) for each in _look(judge_database).hours}

        with worker_database.transaction() as connection:
            connection.execute("UPDATE time_entry_version SET approval = 'approved'")
        _judge(worker_database, _keys(worker_database), NOW)

        assert early == _decided(worker_database)
        assert _look(judge_database).hours == ()
        with worker_database.transaction() as connection:
            assert plan(connection, entry_ids=None, now=LATER).bookings == 2

    def test_is_told_to_who_sees_the_legal_entity(
        self, scene: Scene, judge_database: Database
    ) -> None:
        with judge_database.transaction() as connection:
            of_another = read_early_look(
                connection, now=NOW, entities=("HR-UK",), all_entities=("HR-DE", "HR-UK")
            )

        assert of_another.hours == ()


def _boss(connection: psycopg.Connection[dict[str, Any]]) -> UUID:
    """Let somebody approve what is worked, and both have an address."""
    row = connection.execute(
        "INSERT INTO person (recorded_at) VALUES (%s) RETURNING person_id", (NOW,)
    ).fetchone()
    assert row is not None
    connection.execute("UPDATE assignment SET approver_id = %s", (row["person_id"],))
    connection.execute("DELETE FROM subject WHERE kind = 'person'")
    connection.execute(
        "INSERT INTO subject (subject_id, kind, name, email, recorded_at) SELECT person_id, 'person', 'x',"
        " person_id || '@x.example', recorded_at FROM person"
    )
    return UUID(str(row["person_id"]))


def _manager(connection: psycopg.Connection[dict[str, Any]], scene: Scene, ref: str) -> UUID:
    """Add somebody whom the time tool knows by this reference."""
    row = connection.execute(
        "INSERT INTO person (recorded_at) VALUES (%s) RETURNING person_id", (NOW,)
    ).fetchone()
    assert row is not None
    connection.execute(
        "INSERT INTO subject (subject_id, kind, name, email, recorded_at) VALUES (%(person_id)s, 'person', 'x',"
        " %(person_id)s || '@x.example', %(now)s)",
        {**row, "now": NOW},
    )
    connection.execute(
        "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
        " VALUES ('harvest', 'person', %s, %s, 'told', %s)",
        (ref, row["person_id"], NOW),
    )
    return UUID(str(row["person_id"]))


def _say_manages(
    connection: psycopg.Connection[dict[str, Any]],
    scene: Scene,
    *,
    by_ref: str = "",
    by_email: str | None = None,
    is_active: str = "true",
    until: date | None = None,
) -> None:
    """Let the time tool say it by its references, or a list by address and code."""
    project = connection.execute(
        "SELECT source_ref FROM crosswalk WHERE our_id = %s AND noun = 'project'",
        (scene.project_id,),
    ).fetchone()
    assert project is not None
    fact = StaffingFact(
        fact="assignment",
        person_email=by_email,
        person_name=None,
        employee_code=None,
        entity_code=None,
        project_code="P1",
        labor_category=None,
        starts_on=None if until is None else DAY,
        ends_on=until,
        approver_email=None,
        deputy_email=None,
        manages_project=True,
        extras={"user_ref": by_ref, "project_ref": project["source_ref"], "is_active": is_active},
    )
    connection.execute(
        "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version, is_newest, noun,"
        " data, is_deleted, material_hash, material_version, recorded_at, raw_id, correlation_id)"
        " VALUES ('harvest', 0, 'user_assignments', %s, 1, true, 'StaffingFact', %s, false, '', 1, %s, 0, 'c')",
        (by_ref or by_email, Jsonb(json.loads(json.dumps(asdict(fact), default=str))), NOW),
    )


def _reach_staff(database: Dsns) -> None:
    """Let a channel bring messages to people of the staffing file."""
    with psycopg.connect(database.owner, row_factory=psycopg.rows.dict_row) as connection:
        connection.execute(
            "INSERT INTO connection (connection_key, system, kind, mode, settle_seconds)"
            " VALUES ('post', 'mail', 'channel', 'act', 0)"
        )
        place = Reached(recipient=ALL_STAFF, connection_key="post", urgent_only=False)
        set_reach(connection, reached=place, by="ann", now=NOW)


def _tell_due(worker: Database, at: datetime) -> int:
    with worker.transaction() as connection:
        desk = _desk(connection, at)
    return tell_early_due(
        worker, desk=desk, zones={"HR-DE": "Europe/Berlin"}, days={_MONDAY}, hour=8
    )


def _told_so_far(worker: Database) -> int:
    return len(_column(worker, "SELECT 1 AS one FROM notice"))


def _tell(connection: psycopg.Connection[dict[str, Any]], early: EarlyLook) -> EarlyTold:
    return tell_early(
        connection,
        found=early,
        desk=_desk(connection, NOW),
        by="ann",
        reason="the week ends",
    )


def _desk(connection: psycopg.Connection[dict[str, Any]], at: datetime) -> Desk:
    return Desk(
        speech=Speech(say_reason=str, say_system=str, web_url=""),  # type: ignore[arg-type]
        directory=read_directory(connection),
        now=at,
        link_key=b"k" * 32,
        pepper=b"p" * 32,
    )


def _look(database: Database) -> EarlyLook:
    with database.transaction() as connection:
        return read_early_look(connection, now=NOW, entities=("HR-DE",), all_entities=("HR-DE",))


def _judge(worker: Database, keys: list[str], at: Any) -> None:
    with worker.transaction() as connection:
        judge(connection, clock=FixedClock(at), correlation_id="c", neighbor_keys=keys)


def _keys(database: Database) -> list[str]:
    return [f"entry:{each}" for each in _column(database, "SELECT entry_id FROM time_entry")]


def _column(database: Database, statement: str) -> list[Any]:
    with database.transaction() as connection:
        return [next(iter(row.values())) for row in connection.execute(statement).fetchall()]


def _told(each: EarlyVerdict) -> tuple[str, Any, frozenset[str]]:
    return each.outcome, each.amount, frozenset(reason.code for reason in each.reasons)


def _decided(database: Database) -> dict[UUID, tuple[str, Any, frozenset[str]]]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT t.entry_id, v.outcome, v.amount, ARRAY(SELECT code FROM verdict_reason r"
            " WHERE r.verdict_id = v.verdict_id) AS reasons FROM time_entry t JOIN verdict v USING (verdict_id)"
        ).fetchall()
    return {
        row["entry_id"]: (row["outcome"], row["amount"], frozenset(row["reasons"])) for row in rows
    }


def _post_by_hand(connection: Any, scene: Scene, each: EarlyVerdict, *, outcome: str) -> None:
    connection.execute(
        "INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref,"
        " target_connection, noun, part, effect_no, kind, verdict_id, entry_id, entry_version,"
        " verdict_outcome, entity_code, period_id, seconds, work_class, correlation_id, planned_at)"
        " SELECT gen_random_uuid(), t.connection_key, 0, t.object, t.source_ref, 'tryton', 'time_line', 'main',"
        " 1, 'book', t.verdict_id, t.entry_id, 1, %s, 'HR-DE', %s, 7200, 1, 'c', %s"
        " FROM time_entry t WHERE t.entry_id = %s",
        (outcome, scene.period_id, NOW, each.entry_id),
    )
