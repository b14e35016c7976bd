"""What two systems tell differently is listed with its owner and since when, and written where it is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.deal import BOOKS, COMPANY, CRM, NOW, land_as_read
from tests.support.deal_world import World, opened_world
from tests.support.target import FixedClock, OpenBudgets

from tieline.canonical import Client, WorkItem
from tieline.kernel.errors import UserMistake
from tieline.posting import Poster
from tieline.register import list_drifts
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import AtOnce, Done
from tieline.services.aligning import Aligning, AlignPlan, apply_alignment, show_alignment
from tieline.services.drifting import Difference, list_differences
from tieline.services.shown_plans import Chosen


class Desk:
    """A client that a CRM and an ERP know, and somebody who compares the two."""

    party = "31"

    def __init__(self, world: World) -> None:
        self.world = world
        properties = {"name": COMPANY.name, "city": COMPANY.city, "address": COMPANY.street}
        loaded = world.crm.do(
            "load", {"companies": [{"key": "nordwind", "properties": properties}]}
        )
        self.company = str(loaded["ids"]["companies"]["nordwind"])
        self.say(CRM)
        self.say(BOOKS, city="Altona")

    def say(self, system: str, *, minute: int = 0, **changed: Any) -> None:
        """Let a system tell the client anew."""
        stream, ref = ("companies", self.company) if system == CRM else ("parties", self.party)
        told: Client = replace(COMPANY, **changed)
        land_as_read(self.world.flow.database, system, stream, {ref: told}, minute=minute)
        self.world.flow.keep_register()

    def invoice(self, ref: str) -> None:
        """Let the books tell an invoice."""
        told = WorkItem(
            kind="invoice", name=ref, code=ref, parent_ref=None, client_ref=None, is_active=True
        )
        land_as_read(self.world.flow.database, BOOKS, "invoices", {ref: told})

    def list(self) -> tuple[Difference, ...]:
        with self.world.flow.database.transaction() as connection:
            return list_differences(connection, connectors=self.world.flow.directory, now=NOW)

    def show(self, field: str) -> tuple[AlignPlan, str]:
        with self.world.flow.database.transaction() as connection:
            plan, shown = show_alignment(
                connection, field=field, connectors=self.world.flow.directory, to="ann", now=NOW
            )
        return plan, shown.digest

    def apply(self, field: str) -> str:
        with self.world.flow.database.transaction() as connection:
            return str(
                apply_alignment(
                    connection,
                    field=field,
                    chosen=Chosen(),
                    connectors=self.world.flow.directory,
                    by="ann",
                    reason="finance says so",
                    now=NOW,
                ).shown_id
            )

    def work(self, shown_id: str) -> None:
        """Do what a worker does of it, however often it must look again."""
        poster = Poster(
            database=self.world.flow.database,
            connectors=self.world.flow.directory,
            budgets=cast(Any, OpenBudgets()),
            clock=FixedClock(NOW),
        )
        aligning = Aligning(database=self.world.flow.database, poster=poster, clock=FixedClock(NOW))
        for _ in range(5):
            if isinstance(aligning.align(AtOnce(), shown_id), Done):
                return
            self.world.flow.pass_settle_windows()
        raise AssertionError("aligning did not come to an end")

    def in_crm(self, name: str) -> str:
        last = [line for line in self.world.crm.journal() if line["table"] == "companies"][-1]
        return str(last["record"]["properties"][name])

    def own(self, owner_kind: str, *, region: str, starts_on: date) -> None:
        """Declare whose the city is."""
        with self.world.flow.owner.transaction() as connection:
            connection.execute(
                "WITH l AS (INSERT INTO reference_load (noun, file_name, loaded_by, approved_by, reason, rows,"
                " recorded_at) VALUES ('field-owners', 'f.csv', 'ann', 'bob', 'a test', 1, %(now)s)"
                " RETURNING load_id) INSERT INTO field_owner (noun, field, region, owner_kind, starts_on,"
                " recorded_at, load_id, line_number) SELECT 'client', 'city', %(region)s, %(kind)s,"
                " %(starts_on)s, %(now)s, load_id, 1 FROM l",
                {"now": NOW, "region": region, "kind": owner_kind, "starts_on": starts_on},
            )


@pytest.fixture
def desk(database: Dsns, tmp_path: Path) -> Iterator[Desk]:
    with opened_world(database, tmp_path) as world:
        yield Desk(world)


class TestADifference:
    def test_is_told_and_made_to_say_what_its_owner_says(self, desk: Desk) -> None:
        (found,) = desk.list()
        assert (found.noun, found.field, found.owner_key, found.owner_value) == (
            "client", "city", BOOKS, "Altona",
        )  # fmt: skip
        assert (found.system_key, found.system_ref, found.value, found.action, found.since) == (
            CRM, desk.company, "Hamburg", "set", NOW,
        )  # fmt: skip
        with pytest.raises(UserMistake, match="look at it with --plan first"):
            desk.apply("client.city")
        plan, _ = desk.show("city")
        assert [each.system_ref for each in plan.writes] == [desk.company]

        desk.say(BOOKS, city="Ottensen", minute=1)
        with pytest.raises(UserMistake, match=r"stale: writes\.\S+\.owner_value"):
            desk.apply("client.city")
        assert desk.world.rows("SELECT 1 FROM effect") == []
        desk.show("client.city")
        rule = {"name": "one", "kind": "answer_lost", "method": "PATCH", "occurrences": [1]}
        desk.world.crm.do("faults", {"add": [{**rule, "path": "/crm/v3/objects/companies"}]})
        # The books count their invoices from one too.
        desk.invoice(desk.party)
        shown_id = desk.apply("client.city")
        desk.work(shown_id)
        desk.work(shown_id)

        assert desk.in_crm("city") == "Ottensen"
        (effect,) = desk.world.rows("SELECT state, attempt, noun, object FROM effect")
        assert effect == {
            "state": "CONFIRMED", "attempt": 1, "noun": "field", "object": "parties",
        }  # fmt: skip
        (audit,) = desk.world.rows("SELECT actor, reason FROM audit WHERE action = 'drift.aligned'")
        assert audit == {"actor": "ann", "reason": "finance says so"}
        desk.say(CRM, city="Ottensen", minute=2)
        assert desk.list() == ()
        desk.show("client.city")
        with pytest.raises(UserMistake, match=r"nothing of client\.city can be written from here"):
            desk.apply("client.city")

    def test_is_by_hand_where_a_system_takes_it_from_nobody(self, desk: Desk) -> None:
        desk.say(BOOKS, minute=1, domain="nordwind.test", city=COMPANY.city)

        (found,) = desk.list()

        # The CRM owns the domain, and an ERP's is not written from here.
        assert (found.field, found.owner_key, found.system_key, found.action) == (
            "domain", CRM, BOOKS, "by_hand",
        )  # fmt: skip
        with pytest.raises(UserMistake, match="is none of"):
            desk.show("client.nothing")
        with pytest.raises(UserMistake, match="is a field of client and of project"):
            desk.show("name")


class TestAnOwner:
    def test_refuses_what_another_system_says_in_its_country_and_from_its_day_on(
        self, desk: Desk
    ) -> None:
        with desk.world.flow.database.transaction() as connection:
            (refused,) = list_drifts(connection)
        assert (refused.field, refused.written_by, refused.ended_at) == ("city", CRM, None)

        desk.own("crm", region="FR", starts_on=date(2026, 1, 1))
        desk.own("crm", region="", starts_on=NOW.date() + timedelta(days=1))
        assert desk.list()[0].owner_key == BOOKS
        desk.own("crm", region="DE", starts_on=date(2026, 1, 1))
        desk.say(CRM, minute=1)

        (found,) = desk.list()
        assert (found.owner_key, found.system_key, found.action) == (CRM, BOOKS, "set")
        # The ERP's word was read before the CRM's: from the next pass on it is a refused one.
        desk.world.flow.keep_register()
        with desk.world.flow.database.transaction() as connection:
            standing = {
                (each.written_by, each.ended_at is None) for each in list_drifts(connection)
            }
        assert standing == {(CRM, False), (BOOKS, True)}
        (kept,) = desk.world.rows(
            "SELECT city FROM client_version WHERE superseded_at IS NULL AND name LIKE 'Nordwind%'"
        )
        assert kept["city"] == "Hamburg"
