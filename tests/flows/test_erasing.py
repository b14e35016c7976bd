"""Erasing a person: nothing in the database says who it was, and every sum is what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb
from tests.conftest import PreparedCluster
from tests.flows.test_time_validation import World
from tests.support.scene import NOW

from tieline.canonical import Person, StaffingFact
from tieline.casework import sync_time_cases
from tieline.governance import approve, propose
from tieline.intake import LandingPage, land
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.housekeeping import keep_raw_partitions
from tieline.runtime.migrate import Dsns
from tieline.sdk import RawRecord, Translated, Untranslatable
from tieline.services.erasing import erase
from tieline.services.resource_assignment import sync_people

NAME = "Zoë Quillfeather"
EMAIL = "zoe.quillfeather@firm.example"
_WORD = b"quillfeather"


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[World]:
    owner = Database(database.owner, pool_max=2).open()
    world = World(owner, worker_database)
    with owner.transaction() as connection:
        connection.execute(
            "INSERT INTO subject VALUES (%s, 'person', %s, %s, %s)",
            (world.scene.person_id, NAME, EMAIL, NOW),
        )
    _land_person(world)
    _land_assignment(world)
    world.book("e1", 3600, narrative="workshop")
    world.book("e2", 5400, narrative=f"review with {NAME}")
    world.book("e2", 7200, narrative=f"review with {EMAIL.upper()}")
    yield world
    owner.close()


@pytest.fixture
def superuser_dsn(prepared_cluster: PreparedCluster, database: Dsns) -> str:
    """Give a look at this test's database that no policy narrows."""
    name = conninfo_to_dict(database.worker)["dbname"]
    return make_conninfo(prepared_cluster.cluster.superuser_dsn, dbname=name)


def _land(world: World, record: RawRecord, noun: Any, *, stream: str) -> None:
    land(
        world.worker,
        page=LandingPage(
            connection_key="harvest",
            source_epoch=0,
            stream=stream,
            kind="poll",
            records=[record],
            cursor="c",
            correlation_id="x",
        ),
        translate=lambda _: noun if isinstance(noun, Untranslatable) else Translated(noun=noun),
        material_key=b"key",
        now=NOW,
    )


def _land_person(world: World) -> None:
    first, last = NAME.split()
    record = RawRecord(
        object="users",
        source_ref="u1",
        body=json.dumps({"first_name": first, "last_name": last, "telephone": "1"}).encode(),
        source_at=NOW,
    )
    person = Person(
        name=NAME,
        email=EMAIL,
        employee_code=None,
        entity_code=None,
        is_active=True,
        employed_from=None,
        employed_to=None,
        cost_rate=None,
        extras={"nickname": "Quillfeather"},
    )
    _land(world, record, person, stream="users")


def _land_assignment(world: World) -> None:
    fact = StaffingFact(
        fact="assignment",
        person_email="somebody.else@firm.example",
        person_name=None,
        employee_code=None,
        entity_code=None,
        project_code="P1",
        labor_category="Consultant",
        starts_on=date(2026, 10, 1),
        ends_on=None,
        approver_email=EMAIL,
        deputy_email=None,
    )
    record = RawRecord(
        object="staffing",
        source_ref=f"assignment/{EMAIL}/P1",
        body=f"assignment;somebody.else@firm.example;P1;{EMAIL};{NAME}".encode(),
        source_at=NOW,
    )
    _land(world, record, fact, stream="staffing")


def _name_everywhere(world: World) -> None:
    """Let the source know them by their e-mail from a day on, and what else names people hold it."""
    with world.owner.transaction() as connection:
        connection.execute("UPDATE crosswalk SET ends_on = '2026-10-06' WHERE source_ref = 'u1'")
        connection.execute(
            "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, starts_on, recorded_at)"
            " VALUES ('harvest', 'person', %s, %s, 'a test', '2026-10-06', %s)",
            (EMAIL, world.scene.person_id, NOW),
        )
        connection.execute(
            "INSERT INTO what_if (title, question, asked_by, asked_at) VALUES ('t', %s, 'ann', %s)",
            (Jsonb({"files": [{"rows": [[2, {"person": EMAIL}]]}]}), NOW),
        )
        connection.execute(
            "INSERT INTO adoption_left VALUES ('harvest', 'person', %s, 'ann', 'no one of ours', %s)",
            (EMAIL, NOW),
        )
        connection.execute(
            "INSERT INTO adoption_proposal (connection_key, noun, source_ref, own_ref, name, code, parent,"
            " fits, rivals, ours, our_name) VALUES ('harvest', 'person', 'u9', '', %s, '', '', 0, 0, '', '')",
            (NAME,),
        )
    world.book("e4", 1800, person_ref=EMAIL, work_date=date(2026, 10, 6))
    row = RawRecord(object="staffing", source_ref=f"leave/{EMAIL}", body=b"x", source_at=NOW)
    untold = Untranslatable(reason="field.unreadable", message=f"no day for {EMAIL}")
    _land(world, row, untold, stream="staffing")
    with world.worker.transaction() as connection:
        proposal = propose(
            connection, kind="register.load", object="register:person-rates", entity_code=None,
            payload={"rows": [[2, {"person": EMAIL}]]}, by="ann", reason="rates of 2027", now=NOW,
        )  # fmt: skip
        approve(connection, proposal_id=proposal.proposal_id, by="bob", now=NOW)
        sync_time_cases(connection, now=NOW, correlation_id="c")


def _found_by_person(world: World) -> Any:
    return world.say(
        "SELECT count(*) AS verdicts FROM verdict"
        " WHERE neighbor_keys && keys_of_people(ARRAY(SELECT person_id FROM person))"
    )[0]["verdicts"]


def _tables_that_tell(dsn: str) -> set[str]:
    """Copy every table out, and name those in which the name stands, as text or as bytes."""
    found = set()
    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            statement = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(
                sql.Identifier(schema, table)
            )
            with connection.cursor().copy(statement) as rows:
                text = b"".join(bytes(row) for row in rows).lower()
            if (
                _WORD in text
                or _WORD.hex().encode() in text
                or b"51" + _WORD[1:].hex().encode() in text
            ):
                found.add(table)
    return found


def _sums(world: World) -> list[list[dict[str, Any]]]:
    return [
        world.say(statement)
        for statement in (
            "SELECT person_id, sum(seconds), sum(amount), count(*) FROM ledger_line GROUP BY 1",
            "SELECT place, sum(seconds), count(*) FROM entry_place GROUP BY 1 ORDER BY 1",
            "SELECT business_key, state, payload_hash FROM effect ORDER BY 1",
            "SELECT entry_id, version, material_hash FROM time_entry_version ORDER BY 1, 2",
        )
    ]


def _erase(world: World, who: str, reason: str = "request 17") -> Any:
    with world.worker.transaction() as connection:
        return erase(connection, who=who, by="dpo", reason=reason, now=NOW)


class TestErasing:
    def test_leaves_no_table_that_tells_who_it_was(self, world: World, superuser_dsn: str) -> None:
        _name_everywhere(world)
        told, found = _tables_that_tell(superuser_dsn), _found_by_person(world)

        _erase(world, EMAIL.upper())
        # What is kept up by itself makes nothing of it anew.
        with world.worker.transaction() as connection:
            sync_time_cases(connection, now=NOW, correlation_id="c")
        world.post()

        assert {"subject", "narrative", "source_version"} < told
        assert {"verdict", "proposal", "what_if", "untranslated", "case_member"} < told
        assert {"adoption_left", "adoption_proposal"} < told
        assert _found_by_person(world) == found > 0
        assert any(table.startswith("raw_record") for table in told)
        assert _tables_that_tell(superuser_dsn) == set()

    def test_leaves_every_sum_and_key(self, world: World) -> None:
        before = _sums(world)

        _erase(world, EMAIL)
        world.post()

        assert _sums(world) == before
        assert before[0]

    def test_keeps_the_person_apart_from_others_when_people_are_read_again(
        self, world: World
    ) -> None:
        _erase(world, EMAIL)

        sync_people(world.worker, now=NOW)

        people = world.say("SELECT person_id FROM person")
        links = world.say(
            "SELECT our_id FROM crosswalk WHERE noun = 'person' AND source_ref = 'u1'"
            " AND superseded_at IS NULL"
        )
        assert [row["person_id"] for row in people] == [world.scene.person_id]
        assert [row["our_id"] for row in links] == [world.scene.person_id]

    def test_is_audited_without_a_name(self, world: World) -> None:
        erased = _erase(world, str(world.scene.person_id))

        (row,) = world.say(
            "SELECT actor, object, reason, data FROM audit WHERE action = 'person.erased'"
        )
        assert (row["actor"], row["object"], row["reason"]) == (
            "dpo",
            f"person:{world.scene.person_id}",
            "request 17",
        )
        assert row["data"] == {
            "raw_rows": erased.raw_rows,
            "versions": erased.versions,
            "narratives": erased.narratives,
            "keys": 0,
        }
        assert erased.raw_rows >= 4

    def test_is_refused_without_a_reason_or_a_person(self, world: World) -> None:
        with pytest.raises(UserMistake, match="nobody is known as"):
            _erase(world, "nobody@firm.example")
        with pytest.raises(UserMistake, match="say why"):
            _erase(world, EMAIL, reason=" ")


class TestRawRecords:
    def test_go_with_their_day(self, world: World, worker_database: Database) -> None:
        world.clock.instant = NOW + timedelta(days=1)
        keep_raw_partitions(worker_database, today=world.clock.now().date(), keep_days=400)
        world.book("e3", 900)
        places = world.say("SELECT DISTINCT tableoid::regclass::text AS place FROM raw_record")

        dropped = keep_raw_partitions(worker_database, today=date(2028, 1, 1), keep_days=400)

        assert {row["place"] for row in places} == {"raw_record_other", "raw_record_20261104"}
        assert dropped > 1
        assert world.say("SELECT 1 FROM raw_record") == []
        assert world.say("SELECT seconds FROM time_entry_version WHERE seconds = 900") != []
