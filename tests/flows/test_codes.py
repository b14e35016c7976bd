"""A release of codes: what a CRM's codes mean to us, and what an ERP calls ours, from a day on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection
from tests.support.deal import BOOKS, CLOCK, CRM, NOW, STAFF, land_as_read, line, staffing_fact
from tests.support.deal_world import World, opened_world

from tieline.console.workbook import About, Column, Sheet, make_workbook
from tieline.governance import approve, get_proposal, open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.register import INBOUND_KINDS
from tieline.runtime.migrate import Dsns
from tieline.services.handover_drawing import Handover, draw_handover
from tieline.services.provisioning_facts import load_deals
from tieline.services.provisioning_fields import writes_of
from tieline.services.reference_files import (
    SHEET,
    File,
    carry_out_load,
    deals_of_file,
    export_file,
    load_file,
    preview_file,
    read_file,
)

IN = "connection,kind,entity,their_code,our_code,starts_on,ends_on"
OUT = "connection,kind,entity,our_code,their_code,starts_on,ends_on"
STAGES = (f"{CRM},stage,,closedwon,won,2026-01-01,", f"{CRM},stage,,lead,open,2026-01-01,")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """A firm that says what codes mean."""

    world: World

    def release(self, noun: str, *rows: str, now: datetime = NOW) -> None:
        """Let one person propose codes and another agree."""
        with self.world.flow.database.transaction() as connection:
            proposal_id = propose(connection, noun, *rows)
        with self.agreeing() as connection:
            approve(connection, proposal_id=proposal_id, by="bob", now=now)
            proposal = get_proposal(connection, proposal_id=proposal_id)
            carry_out_load(connection, proposal, now)

    def readings_under(self, row: str) -> list[tuple[str, str, str]]:
        """Return what a row of what goes out would change of the one deal: name, before, after."""
        with self.world.flow.database.transaction() as connection:
            file = code_file("outbound-codes", row)
            (deal,) = deals_of_file(connection, file=file, now=NOW).deals
        return [(each.name, each.before, each.after) for each in deal.readings]

    def agreeing(self) -> AbstractContextManager[Connection[Any]]:
        """Act as somebody who sees both companies."""
        return open_web_transaction(self.world.flow.database, entities=("HR-DE", "HR-UK"))

    def mistakes(self, noun: str, *rows: str) -> list[str]:
        file = code_file(noun, *rows)
        with self.world.flow.database.transaction() as connection:
            return [each.sentence for each in preview_file(connection, file=file).mistakes]

    def blockers(self) -> list[tuple[str, list[str]]]:
        return [(each["code"], each["things"]) for each in self.world.plan["blockers"]]

    def shown_to_books(self) -> set[str | None]:
        """Return as what the shown plan sells, in the books' own words."""
        with self.world.flow.database.transaction() as connection:
            drawn = draw_handover(connection, ref=f"{CRM}:{self.world.deal}", now=NOW)
            writes = writes_of(connection, facts=drawn.facts, plan=drawn.plan, row=drawn.row)
        return {
            each.value
            for write in writes
            for each in write.fields
            if write.target == BOOKS and each.name.endswith("labor_category")
        }

    def drawn(self) -> Handover:
        """Return the deal's plan as it would be shown."""
        with self.world.flow.database.transaction() as connection:
            return draw_handover(connection, ref=f"{CRM}:{self.world.deal}", now=NOW)

    def changed_by_what_stood(self, *, known_at: datetime) -> list[tuple[str, str, str]]:
        """Return what loading all that was known at an instant would change, sent back as a spreadsheet."""
        with self.world.flow.database.transaction() as connection:
            rows = export_file(connection, noun="inbound-codes", known_at=known_at)
            about = About(title="codes", as_of=NOW, by="a test", filters={})
            columns = [Column(title=title) for title in rows[0]]
            body = make_workbook(
                about=about, sheets=[Sheet(name=SHEET, columns=columns, rows=rows[1:])]
            )
            file = read_file(noun="inbound-codes", name="back.xlsx", body=body, is_whole=True)
            found = preview_file(connection, file=file)
        assert found.same + found.changed == len(rows) - 1
        return [
            (each.kind, each.before["our_code"], each.after["our_code"]) for each in found.changes
        ]

    def sold_as(self) -> list[str]:
        with self.world.systems.books.changed() as books:
            return list(books.sold_as)


def code_file(noun: str, *rows: str) -> File:
    """Return a file of codes."""
    head = {"inbound-codes": IN, "outbound-codes": OUT}[noun]
    body = "\n".join((head, *rows)).encode()
    return read_file(noun=noun, name=f"{noun}.csv", body=body, is_whole=False)


def propose(connection: Connection[Any], noun: str, *rows: str, by: str = "ann") -> UUID:
    """Let somebody propose codes."""
    file = code_file(noun, *rows)
    loaded = load_file(connection, file=file, by=by, reason="a test", now=NOW)
    assert loaded.proposal_id is not None
    return loaded.proposal_id


@pytest.fixture
def codes(database: Dsns, tmp_path: Path) -> Iterator[Codes]:
    with opened_world(database, tmp_path) as world:
        yield Codes(world=world)


class TestACodeOfACrm:
    def test_means_what_the_release_says_and_holds_the_deal_where_nobody_did(
        self, codes: Codes
    ) -> None:
        world = codes.world
        codes.release("inbound-codes", *STAGES, f"{CRM},practice,,analytics,Analytics,2026-01-01,")
        world.win()
        world.flow.run()

        assert codes.blockers() == [("deal.code_unknown", ["practice data"])]
        assert world.reasons() >= {"deal.code_unknown"}
        assert world.in_books() == []

        codes.release("inbound-codes", f"{CRM},practice,,data,Data & AI,2026-01-01,")
        world.flow.run()

        assert world.plan["state"] == "active"
        assert world.reasons() == set()
        (contract,) = world.rows(
            "SELECT practice FROM contract_version WHERE superseded_at IS NULL"
        )
        assert contract == {"practice": "Data & AI"}

    def test_says_which_stage_is_won_whatever_the_crm_does(self, codes: Codes) -> None:
        world = codes.world
        codes.release("inbound-codes", f"{CRM},stage,,lead,open,2026-01-01,")
        world.win(stage="verbal", is_won=False)
        world.flow.run()

        # Nobody said what the stage means: one case for it, and no plan.
        assert world.rows("SELECT FROM provisioning_plan") == []
        assert world.case("deal.code_unknown").thing_key == f"{CRM} stage verbal"

        codes.release("inbound-codes", f"{CRM},stage,,verbal,won,2026-01-01,")
        world.flow.run()
        assert world.plan["state"] == "active"

        # Taken back, the same stage is no longer a won one, and the project has a case.
        codes.release("inbound-codes", f"{CRM},stage,,verbal,open,2026-01-01,")
        world.flow.run()
        assert world.reasons() == {"deal.lost_after_provisioning"}

    def test_of_a_legal_entity_goes_before_that_of_every_one(self, codes: Codes) -> None:
        codes.release(
            "inbound-codes",
            f"{CRM},practice,,data,Data,2026-01-01,",
            f"{CRM},practice,HR-UK,data,Data UK,2026-01-01,",
            f"{CRM},practice,HR-DE,data,Daten,2026-01-01,2026-11-03",
            f"{CRM},practice,HR-DE,data,Daten und KI,2026-11-03,",
        )
        codes.world.win(purchase_order=None)
        codes.world.flow.run()

        with codes.world.flow.database.transaction() as connection:
            (facts,) = load_deals(connection, now=NOW)
            (before,) = load_deals(connection, now=NOW - timedelta(days=1))
        assert (before.deal.practice, facts.deal.practice) == ("Daten", "Daten und KI")


class TestALaborCategory:
    def test_is_called_as_the_erp_calls_it_in_its_legal_entity(self, codes: Codes) -> None:
        codes.release(
            "outbound-codes",
            f"{BOOKS},labor_category,,Consultant,CON,2026-01-01,",
            f"{BOOKS},labor_category,HR-DE,Consultant,DE-CON,2026-01-01,",
        )
        codes.world.win()
        assert codes.shown_to_books() == {"DE-CON"}

        codes.world.flow.run()

        assert codes.world.plan["state"] == "active"
        assert codes.sold_as() == ["DE-CON"]

    def test_without_a_code_of_the_erp_holds_the_deal(self, codes: Codes) -> None:
        # The first row holds only from after the rate begins.
        codes.release("outbound-codes", f"{BOOKS},labor_category,,Consultant,CON,2026-10-06,")
        codes.release("outbound-codes", f"{BOOKS},labor_category,,Manager,MAN,2026-01-01,")
        codes.world.win()
        codes.world.flow.run()

        assert codes.blockers() == [("deal.category_unnamed", ["Consultant"])]
        assert codes.world.in_books() == []


class TestACostCenter:
    def test_is_called_as_the_erp_calls_it_where_its_connection_takes_one(
        self, codes: Codes
    ) -> None:
        world = codes.world
        _take_cost_centers(world)
        codes.release("inbound-codes", f"{CRM},cost_center,,41,CC-41,2026-01-01,")
        codes.release("outbound-codes", f"{BOOKS},cost_center,,CC-40,K40,2026-01-01,")
        world.win(cost_center="41")
        world.flow.run()
        assert codes.blockers() == [("deal.cost_center_unnamed", ["CC-41"])]
        assert world.in_books() == []

        row = f"{BOOKS},cost_center,HR-DE,CC-41,K41,2026-01-01,"
        readings = codes.readings_under(row)
        codes.release("outbound-codes", row)
        drawn = codes.drawn()
        world.flow.run()

        assert readings == [
            ("cost center in the ERP", "", "K41"),
            ("without a code", "CC-41", ""),
        ]
        (project,) = [each for each in drawn.writes if each.step == "erp.project"]
        assert [each.value for each in project.fields if each.name == "cost_center"] == ["K41"]
        assert world.plan["state"] == "active"
        assert _told_of_projects(world) == {BOOKS: "K41", CLOCK: None}
        assert world.rows("SELECT cost_center FROM contract_version") == [{"cost_center": "CC-41"}]

    def test_is_sent_as_it_stands_where_nobody_said_what_it_is_called(self, codes: Codes) -> None:
        _take_cost_centers(codes.world)
        codes.world.win(cost_center="CC-41")
        codes.world.flow.run()

        assert _told_of_projects(codes.world) == {BOOKS: "CC-41", CLOCK: None}

    def test_stays_here_and_is_told_so_where_the_erp_takes_none(self, codes: Codes) -> None:
        world = codes.world
        codes.release("outbound-codes", f"{BOOKS},cost_center,,CC-40,K40,2026-01-01,")
        world.win(cost_center="CC-41")
        world.flow.keep_register()
        drawn = codes.drawn()
        _manage(world, anna=False)
        unmanaged = codes.drawn()
        _manage(world, anna=True)
        managed = codes.drawn()
        world.flow.run()

        warnings = [
            [each.code for each in seen.judged.warnings] for seen in (drawn, unmanaged, managed)
        ]
        assert warnings == [
            ["deal.cost_center_not_taken"],
            ["deal.cost_center_not_taken", "deal.manager_missing"],
            ["deal.cost_center_not_taken"],
        ]
        assert world.plan["state"] == "active"
        assert _told_of_projects(world) == {BOOKS: None, CLOCK: None}
        assert world.rows("SELECT cost_center FROM contract_version") == [{"cost_center": "CC-41"}]

    def test_goes_out_with_its_practice_where_the_books_take_one(self, codes: Codes) -> None:
        world = codes.world
        world.win()
        codes.release("outbound-codes", f"{BOOKS},practice,,cloud,PR-CLOUD,2026-01-01,")
        with world.flow.owner.transaction() as connection:
            connection.execute(
                """UPDATE connection SET config = config || '{"practice_field": "comment"}'"""
                " WHERE connection_key = %s",
                (BOOKS,),
            )

        world.flow.run()
        assert codes.blockers() == [("deal.practice_unnamed", ["data"])]

        codes.release("outbound-codes", f"{BOOKS},practice,,data,PR-DATA,2026-01-01,")
        world.flow.run()

        assert world.plan["state"] == "active"
        told = world.rows(
            "SELECT target_connection, content ->> 'practice' AS practice FROM effect"
            " JOIN effect_payload USING (business_key) WHERE noun = 'project'"
        )
        assert {row["target_connection"]: row["practice"] for row in told} == {
            BOOKS: "PR-DATA",
            CLOCK: None,
        }


class TestWhatASaleIsCalled:
    def test_goes_out_as_the_erp_calls_it_and_holds_the_deal_where_it_has_no_code(
        self, codes: Codes
    ) -> None:
        world = codes.world
        world.win()
        codes.release(
            "outbound-codes",
            f"{BOOKS},currency,,EUR,E2,2026-01-01,",
            f"{BOOKS},tax_treatment,,exempt,X0,2026-01-01,",
            f"{BOOKS},unit,,hour,HUR,2026-01-01,",
            f"{BOOKS},billing_code,,ADVICE,4711,2026-01-01,",
        )
        world.flow.run()
        assert codes.blockers() == [("deal.code_unnamed", ["tax_treatment standard"])]
        assert world.reasons() == {"deal.code_unnamed"}
        assert world.in_books() == []

        row = f"{BOOKS},tax_treatment,HR-DE,standard,V19,2026-01-01,"
        readings = codes.readings_under(row)
        codes.release("outbound-codes", row)
        drawn = codes.drawn()
        world.flow.run()

        assert readings == [
            ("tax in the ERP", "", "V19"),
            ("without a code", "standard", ""),
        ]
        (sale,) = [each for each in drawn.writes if each.step == "erp.contract"]
        told = {each.name: each.value for each in sale.fields}
        assert (told["currency"], told["tax_code"], told["unit_code"]) == ("E2", "V19", "HUR")
        assert told["lines.1.product_code"] is None
        assert world.plan["state"] == "active"
        (content,) = _told_of_contracts(world)
        assert (content["currency"], content["tax_code"], content["unit_code"]) == (
            "E2", "V19", "HUR",
        )  # fmt: skip

    def test_is_what_is_billed_where_a_line_says_so(self, codes: Codes) -> None:
        world = codes.world
        codes.release("inbound-codes", f"{CRM},billing_code,,adv,ADVICE,2026-01-01,")
        codes.release("outbound-codes", f"{BOOKS},billing_code,,ADVICE,4711,2026-01-01,")
        world.win(lines=(line("Build", extras={"product": "adv"}),))
        world.flow.run()

        assert world.plan["state"] == "active"
        (content,) = _told_of_contracts(world)
        assert content["products"] == "4711"
        tasks = world.rows(
            "SELECT target_connection, content ->> 'product_code' AS product FROM effect"
            " JOIN effect_payload USING (business_key) WHERE noun = 'task'"
        )
        assert {row["target_connection"]: row["product"] for row in tasks} == {
            BOOKS: "4711",
            CLOCK: None,
        }


def _told_of_contracts(world: World) -> list[dict[str, str]]:
    rows = world.rows(
        "SELECT content FROM effect JOIN effect_payload USING (business_key) WHERE noun = 'contract'"
    )
    return [row["content"] for row in rows]


def _manage(world: World, *, anna: bool) -> None:
    """Let the staffing say whether Anna manages the project."""
    fact = staffing_fact("assignment", "anna", project_code="DP-1", labor_category="Consultant")
    told = replace(fact, manages_project=anna)
    land_as_read(
        world.flow.database, STAFF, "staffing", {"a:anna:DP-1": told}, minute=2 if anna else 1
    )


def _take_cost_centers(world: World) -> None:
    """Let the ERP's connection say of a field for cost centers."""
    with world.flow.owner.transaction() as connection:
        connection.execute(
            """UPDATE connection SET config = config || '{"cost_center_field": "comment"}'"""
            " WHERE connection_key = %s",
            (BOOKS,),
        )


def _told_of_projects(world: World) -> dict[str, str | None]:
    """Return which cost center each system was told of the project."""
    rows = world.rows(
        "SELECT target_connection, content ->> 'cost_center' AS cost_center FROM effect"
        " JOIN effect_payload USING (business_key) WHERE noun = 'project'"
    )
    return {row["target_connection"]: row["cost_center"] for row in rows}


class TestARelease:
    def test_refuses_what_nobody_can_mean(self, codes: Codes) -> None:
        assert codes.mistakes(
            "inbound-codes",
            f"{CLOCK},stage,,won,won,2026-01-01,",
            f"{CRM},phase,,won,won,2026-01-01,",
            f"{CRM},stage,,won,closed,2026-01-01,",
            f"{CRM},tax_treatment,HR-XX,std,standard,2026-01-01,",
            f"{CRM},practice,,data,Data,2026-01-01,2026-01-01",
            f"{CRM},practice,,cloud,Cloud,2026-01-01,2026-07-01",
            f"{CRM},practice,,cloud,Hosting,2026-06-01,",
            f"{CRM},practice,,web,Web,2026-01-01,",
            f"{CRM},practice,,web,Internet,2026-01-01,",
        ) == [
            "no CRM connection is known as clock",
            f"it is none of {', '.join(INBOUND_KINDS)}",
            "of the kind stage it is none of open, won, lost",
            "no legal entity is known as HR-XX",
            "it ends before it starts",
            "it still holds when line 8 begins on 2026-06-01",
            "line 9 says the same from the same day on",
        ]

    def test_is_agreed_to_by_somebody_else_only_as_it_was_seen_and_never_says_two_things_at_once(
        self, codes: Codes
    ) -> None:
        with codes.world.flow.database.transaction() as connection:
            proposal_id = propose(connection, "inbound-codes", STAGES[0])
        with (
            codes.world.flow.database.transaction() as connection,
            pytest.raises(UserMistake, match="ann"),
        ):
            approve(connection, proposal_id=proposal_id, by="ann", now=NOW)

        codes.release("inbound-codes", f"{CRM},stage,,closedwon,lost,2026-01-01,")
        with codes.agreeing() as connection:
            approve(connection, proposal_id=proposal_id, by="bob", now=NOW)
            proposal = get_proposal(connection, proposal_id=proposal_id)
            with pytest.raises(UserMistake, match="changed since"):
                carry_out_load(connection, proposal, NOW)

        insert = """
            INSERT INTO inbound_code (connection_key, kind, entity_code, their_code, our_code, starts_on,
                recorded_at, load_id, line_number)
            SELECT connection_key, kind, entity_code, their_code, 'won', '2026-06-01', recorded_at, load_id, 3
            FROM inbound_code RETURNING our_code"""
        with pytest.raises(psycopg.errors.ExclusionViolation):
            codes.world.rows(insert)

    def test_shows_which_deals_would_be_read_otherwise_and_changes_nothing(
        self, codes: Codes
    ) -> None:
        codes.world.win()
        file = code_file("inbound-codes", STAGES[1], f"{CRM},practice,,data,Data & AI,2026-01-01,")
        with codes.world.flow.database.transaction() as connection:
            found = deals_of_file(connection, file=file, now=NOW)

        (deal,) = found.deals
        assert (deal.deal, deal.place, deal.amount) == (
            f"{CRM}:{codes.world.deal}", "won deal", Decimal(15000),
        )  # fmt: skip
        assert [(each.name, each.before, each.after) for each in deal.readings] == [
            ("practice", "data", "Data & AI"),
            ("without a code", "", "stage closedwon"),
        ]
        (of_place,) = found.sums
        assert (of_place.deals, of_place.amount, of_place.newly_held) == (1, Decimal(15000), 1)
        assert (
            codes.world.rows("SELECT FROM inbound_code UNION ALL SELECT FROM reference_load") == []
        )

    def test_is_written_as_it_is_read_and_taken_back_by_what_stood_before(
        self, codes: Codes
    ) -> None:
        before = NOW - timedelta(hours=1)
        codes.release(
            "inbound-codes",
            f"{CRM},practice,,data,Data,2026-01-01,2026-07-01",
            f"{CRM},practice,,data,Daten,2026-07-01,",
            f"{CRM},practice,HR-DE,web,Web,2026-01-01,",
            now=before,
        )
        codes.release("inbound-codes", f"{CRM},practice,,data,Data & AI,2026-07-01,")

        assert codes.changed_by_what_stood(known_at=NOW) == []
        assert codes.changed_by_what_stood(known_at=before) == [
            ("changed", "Data & AI", "Daten"),
        ]
