"""What was shown of a deal is what is carried out, or nothing is; by one person, or by two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.deal import (
    BOOKS,
    CLOCK,
    COMPANY,
    CRM,
    ENDS_ON,
    NOW,
    STARTS_ON,
    land_as_read,
    land_deal,
    line,
)
from tests.support.deal_world import IN_BOOKS, opened_world
from tests.support.handover_desk import Desk

from tieline.canonical import WorkItem
from tieline.kernel.errors import UserMistake
from tieline.runtime.migrate import Dsns
from tieline.services.handover_drawing import Handover
from tieline.services.shown_plans import forget_unapplied


@pytest.fixture
def desk(database: Dsns, tmp_path: Path) -> Iterator[Desk]:
    with opened_world(database, tmp_path) as world:
        made = Desk(world)
        made.decide("handover_begins", "by_person")
        yield made


class TestAShownPlan:
    def test_is_what_every_system_receives_whatever_changes_afterwards(self, desk: Desk) -> None:
        world = desk.world
        world.win()
        world.flow.keep_register()
        assert desk.begun() == (0, 0, 0)
        with pytest.raises(UserMistake, match="look at it with --plan first"):
            desk.apply(world.deal)
        desk.show(world.deal)
        world.change(1, name="Data platform II")
        world.flow.keep_register()

        with pytest.raises(UserMistake, match=r"stale: .*writes\.erp\.project\.name"):
            desk.apply(world.deal)
        assert desk.begun() == (0, 0, 0)
        drawn, digest = desk.show(world.deal)
        applied = desk.apply(world.deal, digest[:8])
        # Neither a change nor a second answer makes anything else of what two saw and one applied.
        world.change(2, name="Data platform III")
        world.flow.run()

        assert applied.state == "running"
        assert desk.apply(world.deal, digest).state == "active"
        assert world.in_books() == IN_BOOKS
        shown = {
            (each.target, each.noun, each.part): {
                told.name: told.value for told in each.fields if told.value is not None
            }
            for each in drawn.writes
        }
        sent = world.rows(
            "SELECT target_connection, noun, part, content FROM effect JOIN effect_payload USING (business_key)"
        )
        assert len(sent) == len(shown) - 1
        for row in sent:
            part = "active" if row["noun"] == "status" else row["part"]
            part = "B1" if row["noun"] == "employee" else part
            fields = shown[row["target_connection"], row["noun"], part]
            same = {name for name in row["content"] if name in fields}
            assert same, row["noun"]
            assert {name: fields[name] for name in same} == {
                name: row["content"][name] for name in same
            }
        (project,) = [each for each in drawn.writes if each.step == "erp.project"]
        told = {each.name: (each.value, each.waits_for) for each in project.fields}
        assert told["name"] == ("Data platform II", None)
        assert told["client_code"] == (None, "erp.client")
        (audit,) = world.rows("SELECT actor, reason, data FROM audit WHERE action = 'deal.applied'")
        assert (audit["actor"], audit["data"]["digest"]) == ("ann", digest)
        with world.flow.database.transaction() as connection:
            assert forget_unapplied(connection, now=NOW + timedelta(days=30)) == 0
            # The first one was stale and nobody applied it; what was applied stays.
            assert forget_unapplied(connection, now=NOW + timedelta(days=91)) == 1

    def test_begins_nothing_where_it_cannot(self, desk: Desk) -> None:
        world = desk.world
        world.win(lines=(), amount=None)
        world.flow.keep_register()
        drawn, _ = desk.show(world.deal)
        answers = {each.code: each.outcome for each in drawn.checks}

        assert answers["deal.lines_missing"] == "blocks"
        assert answers["deal.practice_missing"] == "holds"
        with pytest.raises(UserMistake, match=r"cannot be made a project yet: deal\.lines_missing"):
            desk.apply(world.deal)
        taken = WorkItem(
            kind="project",
            name="Old",
            code="DP-1",
            parent_ref=None,
            client_ref=None,
            is_active=True,
        )
        land_as_read(world.flow.database, CLOCK, "projects", {"77": taken})
        drawn, _ = desk.show(world.deal)
        found = {each.code: each.things for each in drawn.judged.blockers}
        assert found["deal.time_tool_code_taken"] == (f"{CLOCK}:77",)
        world.change(1, is_won=False, stage="closedlost")
        with pytest.raises(UserMistake, match="is not won, it stands at closedlost"):
            desk.apply(world.deal)
        with pytest.raises(UserMistake, match="no deal is known as"):
            desk.show("nothing")
        assert desk.begun() == (0, 0, 0)


class TestTwoDealsOfOneClient:
    def test_are_applied_one_after_the_other(self, desk: Desk) -> None:
        world = desk.world
        world.win()
        land_deal(world.flow.database, deal=world.second_deal, project_code="DP-2", minute=1)
        world.flow.keep_register()
        desk.show(world.deal)
        desk.show(world.second_deal)
        desk.apply(world.deal)

        with pytest.raises(UserMistake, match="of the same client is being handed over"):
            desk.apply(world.second_deal)
        assert desk.begun()[0] == 1
        world.flow.run()
        # The client that it would have made stands now: that is another plan than was shown.
        with pytest.raises(UserMistake, match=r"stale: writes\.erp\.client\.action"):
            desk.apply(world.second_deal)
        desk.show(world.second_deal)
        desk.apply(world.second_deal)
        world.flow.run()

        assert world.in_books().count("client") == 1
        assert world.in_books().count("project") == 2


_ORDER_ENDS = "deal.purchase_order_ends_early"
_ORDERS = "contract,order_number,task,amount,currency,starts_on,ends_on\n"


class TestALargeDeal:
    def test_takes_two_people(self, desk: Desk) -> None:
        world = desk.world
        desk.decide("handover_two_people_from", "15000")
        world.win()
        world.flow.keep_register()
        desk.show(world.deal)

        applied = desk.apply(world.deal)
        with pytest.raises(UserMistake, match="ann has proposed it already"):
            desk.apply(world.deal)
        with pytest.raises(UserMistake, match="ann proposed it and may not approve it"):
            desk.approve(applied, "ann")
        assert desk.begun() == (0, 0, 0)
        desk.approve(applied, "bob")
        world.flow.run()

        assert world.plan["state"] == "active"

    def test_waits_for_its_approval_and_is_told_of_an_order_that_ends_before_it(
        self, desk: Desk
    ) -> None:
        world = desk.world
        world.win(extras={"purchase_order_last_day": (ENDS_ON - timedelta(days=2)).isoformat()})
        world.flow.keep_register()
        desk.decide("deal_approval_from", "15000")
        drawn, _ = desk.show(world.deal)
        assert [each.code for each in drawn.judged.blockers] == ["deal.approval_missing"]
        assert _ORDER_ENDS in [each.code for each in drawn.judged.warnings]

        lasting = (ENDS_ON - timedelta(days=1)).isoformat()
        world.change(1, extras={"deal_approved": "true", "purchase_order_last_day": lasting})
        drawn, _ = desk.show(world.deal)
        assert drawn.judged.blockers == ()
        assert _ORDER_ENDS not in [each.code for each in drawn.judged.warnings]
        # As some say that there is no last day.
        for_ever = {"deal_approved": "true", "purchase_order_last_day": "9999-12-31"}
        world.change(2, extras=for_ever)
        drawn, _ = desk.show(world.deal)
        assert _ORDER_ENDS not in [each.code for each in drawn.judged.warnings]
        desk.apply(world.deal)
        world.flow.run()

        # What was loaded of an order goes before what its deal says.
        early = ENDS_ON - timedelta(days=9)
        desk.release("purchase-orders", f"{_ORDERS}DP-1,PO-1,,,EUR,2026-01-01,{early}\n")
        drawn, _ = desk.show(world.deal)
        assert _ORDER_ENDS in [each.code for each in drawn.judged.warnings]


class TestADealThatIsLostAfterwards:
    def test_is_closed_by_its_plan_and_opens_the_same_project_when_it_is_won_again(
        self, desk: Desk
    ) -> None:
        world = desk.world
        world.win()
        world.flow.keep_register()
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()
        world.change(1, is_won=False, stage="closedlost")
        world.flow.run()
        assert world.reasons() == {"deal.lost_after_provisioning"}

        drawn, _ = desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()

        assert [(each.action, each.noun) for each in drawn.writes] == [
            ("take_back", "assignment"), ("take_back", "assignment"), ("take_back", "project"),
            ("report", "status"), ("close", "project"),
        ]  # fmt: skip
        assert world.plan["state"] == "closed"
        assert world.project() == ("closed", False)
        # What was delivered stays in the books; nobody is booked on it any more.
        assert world.in_books() == IN_BOOKS
        assert {"projects", "user_assignments"} & set(world.in_clock()) == set()
        assert world.told()["tieline_project_status"] == "closed"
        assert world.reasons() == set()
        assert world.events().count("project.closed") == 1

        world.change(2)
        world.flow.run()
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()

        assert world.plan["state"] == "active"
        assert world.project() == ("active", True)
        assert world.in_books() == IN_BOOKS
        assert world.in_clock().count("projects") == 1
        assert world.told()["tieline_project_status"] == "active"
        assert world.rows("SELECT count(*) AS n FROM project") == [{"n": 1}]

    def test_is_a_change_order_while_it_stays_won(self, desk: Desk) -> None:
        world = desk.world
        world.win()
        world.flow.keep_register()
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()

        world.change(1, cap_amount=Decimal(9000))
        world.flow.keep_register()
        assert world.reasons() == {"deal.changed_after_provisioning"}
        drawn, _ = desk.show(world.deal)
        applied = desk.apply(world.deal)
        with pytest.raises(UserMistake, match="ann proposed it and may not approve it"):
            desk.approve(applied, "ann")
        desk.approve(applied, "bob")

        assert (drawn.kind, drawn.changes, applied.state) == ("change", ("cap_amount",), "proposed")
        (contract,) = world.rows(
            "SELECT cap_amount FROM contract_version WHERE superseded_at IS NULL"
        )
        assert contract["cap_amount"] == 9000
        assert world.reasons() == set()
        assert world.plan["state"] == "active"

        world.change(2, cap_amount=Decimal(9000), entity_code="HR-UK")
        drawn, digest = desk.show(world.deal)
        assert (drawn.kind, drawn.changes) == ("stands", ("entity_code",))
        with pytest.raises(
            UserMistake, match=r"entity_code changed since .* It is another contract"
        ):
            desk.apply(world.deal, digest)
        assert world.reasons() == {"deal.changed_after_provisioning"}

    def test_gets_other_lines_and_another_end_by_a_change_order(self, desk: Desk) -> None:
        world = desk.world
        world.win(lines=(line("Build"), line("Test")), amount=Decimal(30000))
        world.flow.keep_register()
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()
        linked = world.rows("SELECT our_id FROM crosswalk WHERE noun = 'erp_task' ORDER BY our_id")

        # The CRM numbers its lines anew: one stays, one is gone, one is new, and a rate rises.
        lines = (
            line("Build", line_ref="new number"),
            line("Build", rate_amount=Decimal(160), rate_starts_on=date(2027, 1, 1)),
            line("Run"),
        )
        world.change(1, lines=lines[:1], amount=Decimal(15000), rate_card="2027")
        drawn, _ = desk.show(world.deal)
        assert drawn.changes == ("amount", "rate_card", "lines")
        world.change(2, lines=(), amount=None)
        drawn, _ = desk.show(world.deal)
        with pytest.raises(UserMistake, match=r"cannot be changed: .*deal\.lines_missing"):
            desk.apply(world.deal)
        world.change(3, lines=(line("Build", rate_amount=Decimal(99)),), amount=Decimal(9900))
        drawn, digest = desk.show(world.deal)
        assert drawn.kind == "stands"
        with pytest.raises(UserMistake, match="another rate has a day from which it holds"):
            desk.apply(world.deal, digest)
        world.change(4, lines=lines, amount=Decimal(46000), ends_on=date(2027, 6, 1))
        drawn, _ = desk.show(world.deal)
        desk.approve(desk.apply(world.deal), "bob")
        world.flow.run()

        assert drawn.changes == ("amount", "ends_on", "lines")
        told = {
            (each.target, each.noun, each.part): (
                each.action, {one.name: one.value for one in each.fields if one.value}
            )
            for each in drawn.writes
        }  # fmt: skip
        built, tested = "Build|Consultant|2026-10-05", "Test|Consultant|2026-10-05"
        raised, run = "Build|Consultant|2027-01-01", "Run|Consultant|2026-10-05"
        assert told[None, "contract_line", built] == ("change", {"ends_on": "2027-01-01"})
        assert told[None, "contract_line", tested] == ("change", {"ends_on": "2026-11-03"})
        assert told[BOOKS, "task", raised][1]["rate_amount"] == "160"
        assert {part for _, noun, part in told if noun == "task"} == {raised, run, "Run", "Test"}
        assert told[CLOCK, "task", "Test"] == ("by_hand", {"is_active": "false"})
        assert told[BOOKS, "contract", ""] == ("by_hand", {"amount": "46000"})
        assert told[CLOCK, "project", ""] == ("by_hand", {"ends_on": "2027-06-01"})
        held = world.rows(
            "SELECT task_name, starts_on, ends_on, rate_amount FROM contract_line"
            " WHERE superseded_at IS NULL ORDER BY task_name, starts_on"
        )
        assert [tuple(row.values()) for row in held] == [
            ("Build", STARTS_ON, date(2027, 1, 1), 150),
            ("Build", date(2027, 1, 1), date(2027, 6, 1), 160),
            ("Run", STARTS_ON, date(2027, 6, 1), 150),
            ("Test", STARTS_ON, date(2026, 11, 3), 150),
        ]
        # What was linked and booked stays so; what it said before is a row of the past.
        after = world.rows("SELECT our_id FROM crosswalk WHERE noun = 'erp_task'")
        assert len(after) == 4
        assert {row["our_id"] for row in linked} < {row["our_id"] for row in after}
        (past,) = world.rows(
            "SELECT ends_on FROM contract_line WHERE task_name = 'Test' AND superseded_at IS NOT NULL"
        )
        assert past["ends_on"] == ENDS_ON
        assert world.in_books().count("task") == 4
        assert world.in_clock().count("task_assignments") == 3
        assert world.in_books().count("project") == 1
        assert world.reasons() == set()

        # Lost and won again on other terms, it opens nothing; without a line, that line ends.
        world.change(5, is_won=False, stage="closedlost")
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()
        world.change(6, lines=(line("Build", rate_amount=Decimal(99)),), amount=Decimal(9900))
        world.flow.run()
        assert world.reasons() == {"deal.changed_after_provisioning"}
        desk.show(world.deal)
        with pytest.raises(
            UserMistake, match=r"made a project yet: deal\.changed_after_provisioning"
        ):
            desk.apply(world.deal)
        world.change(7, lines=lines[:2], amount=Decimal(31000), ends_on=date(2027, 6, 1))
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()

        assert world.plan["state"] == "active"
        kept = world.rows(
            "SELECT contract_line_id, task_name, ends_on FROM contract_line"
            " WHERE superseded_at IS NULL AND task_name <> 'Build' ORDER BY task_name"
        )
        assert [(row["task_name"], row["ends_on"]) for row in kept] == [
            ("Run", NOW.date()),
            ("Test", date(2026, 11, 3)),
        ]
        assert {row["contract_line_id"] for row in kept} < {row["our_id"] for row in after}
        assert world.rows("SELECT count(*) AS n FROM project") == [{"n": 1}]

    def test_moves_its_first_day_with_the_lines_that_begin_on_it(self, desk: Desk) -> None:
        world = desk.world
        raised = line("Build", rate_amount=Decimal(160), rate_starts_on=date(2027, 1, 1))
        lines = (line("Build"), raised)
        world.win(lines=lines, amount=Decimal(31000))
        world.flow.keep_register()
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()
        (before,) = world.rows("SELECT count(*) AS n FROM crosswalk WHERE noun = 'erp_task'")

        world.change(1, lines=lines, amount=Decimal(31000), starts_on=date(2026, 9, 1))
        drawn, _ = desk.show(world.deal)
        desk.approve(desk.apply(world.deal), "bob")
        world.flow.run()

        assert (drawn.kind, drawn.changes) == ("change", ("starts_on", "lines"))
        assert [each.part for each in drawn.writes if each.noun == "contract_line"] == [
            "Build|Consultant|2026-10-05"
        ]
        assert not [each for each in drawn.writes if each.action == "create"]
        held = world.rows(
            "SELECT starts_on, ends_on FROM contract_line WHERE superseded_at IS NULL ORDER BY 1"
        )
        assert [tuple(row.values()) for row in held] == [
            (date(2026, 9, 1), date(2027, 1, 1)),
            (date(2027, 1, 1), ENDS_ON),
        ]
        (after,) = world.rows("SELECT count(*) AS n FROM crosswalk WHERE noun = 'erp_task'")
        assert (before, world.in_books().count("task")) == (after, 2)
        assert world.reasons() == set()

    def test_of_another_client_is_a_case(self, desk: Desk) -> None:
        world = desk.world
        world.win()
        world.flow.keep_register()
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()
        other = replace(COMPANY, name="Other SE", vat_number="DE129273398", domain="other.example")
        land_as_read(world.flow.database, CRM, "companies", {"c2": other})

        world.change(1, client_ref="c2")
        world.flow.keep_register()
        drawn, digest = desk.show(world.deal)

        assert world.reasons() == {"deal.changed_after_provisioning"}
        assert (drawn.kind, drawn.changes) == ("stands", ("client",))
        with pytest.raises(UserMistake, match="Hours until then stay with the first client"):
            desk.apply(world.deal, digest)


class TestASplitContract:
    def test_is_planned_when_its_shares_make_a_whole_and_the_books_know_who_pays(
        self, desk: Desk
    ) -> None:
        world = desk.world
        world.win()
        world.flow.keep_register()
        (own,) = world.rows("SELECT client_id FROM client")
        other = uuid4()
        with world.flow.owner.transaction() as connection:
            connection.execute(
                "INSERT INTO client (client_id, recorded_at) VALUES (%s, %s)", (other, NOW)
            )
            connection.execute(
                "INSERT INTO client_version (client_id, name, name_key, is_active, recorded_at)"
                " VALUES (%s, 'Southmoor', 'southmoor', true, %s)",
                (other, NOW),
            )
        self._tell(desk, own["client_id"], "60", "yes", other, "39.99", "yes")
        answers, _ = self._answers(desk)

        assert answers["deal.split_not_whole"] == "blocks"
        assert answers["deal.split_rounding_unclear"] == "blocks"
        assert answers["deal.split_client_unlinked"] == "blocks"

        with world.flow.owner.transaction() as connection:
            connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                " VALUES (%s, 'client', '77', %s, 'a test', %s)",
                (BOOKS, other, NOW),
            )
        self._tell(desk, own["client_id"], "60", "yes", other, "40", "no")
        answers, drawn = self._answers(desk)

        # The deal's own client comes into the books with the plan.
        assert {code for code in answers if code.startswith("deal.split")} <= {
            code for code, outcome in answers.items() if outcome == "holds"
        }
        (shares,) = [each for each in drawn.writes if each.step == "shares"]
        assert {each.name: each.value for each in shares.fields}["Southmoor"] == (
            f"40 % from {STARTS_ON}"
        )
        (project,) = [each for each in drawn.writes if each.step == "erp.project"]
        assert {each.name: each.value for each in project.fields}["is_split"] == "true"

    def test_brings_who_pays_a_share_into_the_books_and_takes_them_back(self, desk: Desk) -> None:
        world = desk.world
        world.win()
        other = replace(COMPANY, name="Other SE", vat_number="DE129273398", domain="other.example")
        land_as_read(world.flow.database, CRM, "companies", {"c2": other})
        world.flow.keep_register()
        own, pays = world.rows(
            "SELECT our_id AS client_id FROM crosswalk WHERE noun = 'client' ORDER BY source_ref"
        )
        self._tell(desk, own["client_id"], "60", "yes", pays["client_id"], "40", "no")

        answers, drawn = self._answers(desk)

        assert answers["deal.split_client_unlinked"] == "holds"
        (payer,) = [each for each in drawn.writes if each.step.startswith("erp.client:")]
        assert {each.name: each.value for each in payer.fields}["name"] == "Other SE"

        world.refuse("time.project")
        world.flow.keep_register()
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()
        assert (world.plan["state"], world.in_books()) == ("compensated", [])

        world.refuse("erp.nothing")
        world.try_again()
        assert world.plan["state"] == "active"
        assert world.in_books() == ["client", "client", "contract", "project", "task", "employee"]
        linked = "SELECT 1 FROM crosswalk WHERE connection_key = 'books' AND our_id = '{}' AND superseded_at IS NULL"
        assert len(world.rows(linked.format(pays["client_id"]))) == 1

    def _tell(self, desk: Desk, *told: object) -> None:
        rows = [told[:3], told[3:]]
        lines = [f"DP-1,{who},{percent},{takes},{STARTS_ON}" for who, percent, takes in rows]
        header = "contract_code,client,percent,takes_rounding,starts_on"
        desk.release("billing-splits", "\n".join([header, *lines]))

    def _answers(self, desk: Desk) -> tuple[dict[str, str], Handover]:
        drawn, _ = desk.show(desk.world.deal)
        return {each.code: each.outcome for each in drawn.checks}, drawn
