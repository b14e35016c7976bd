"""From a won deal to a project in every system, or to nothing at all and a case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection
from tests.support.deal import (
    BOOKS,
    CLOCK,
    CRM,
    NOW,
    STAFF,
    land_as_read,
    land_deal,
    staffing_fact,
)
from tests.support.deal_world import IN_BOOKS, IN_CLOCK, World, opened_world

from tieline.casework import fix_and_replay
from tieline.kernel.errors import LeaseLost, UserMistake
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import AtOnce, Claim
from tieline.services.client_sync import sync_clients
from tieline.services.deals import ask_for_project, count_deal_plans
from tieline.services.handover_forecast import forecast_handover, note_steps
from tieline.services.project_provisioning import (
    COMPENSATED,
    STUCK,
    begin_plan,
    plan_deals,
    plan_new_deals,
    store_plan,
)
from tieline.services.provisioning_checks import Judged
from tieline.services.provisioning_facts import load_deals
from tieline.services.resource_assignment import sync_people


class _TakenOver(AtOnce):
    """Steps of a run whose item is another one's by now."""

    claim = Claim(work_id=0, workflow_id="provision:taken over")


@pytest.fixture
def world(database: Dsns, tmp_path: Path) -> Iterator[World]:
    with opened_world(database, tmp_path) as made:
        yield made


class TestWonDeal:
    def test_becomes_a_project_in_every_system(self, world: World) -> None:
        world.win()

        world.flow.run()

        assert world.plan["state"] == "active"
        assert world.project() == ("active", True)
        assert world.in_books() == IN_BOOKS
        assert sorted(world.in_clock()) == IN_CLOCK
        assert world.links() == [
            f"{BOOKS}.client", f"{BOOKS}.contract", f"{BOOKS}.employee", f"{BOOKS}.erp_task",
            f"{BOOKS}.project", f"{CLOCK}.client", f"{CLOCK}.project", f"{CLOCK}.task",
        ]  # fmt: skip
        assert world.events().count("project.active") == 1
        assert world.open_effects() == []

    def test_keeps_the_id_under_which_it_was_read(self, world: World) -> None:
        world.win()

        world.flow.run()

        # The id that the reading of the CRM gave it: see land_as_read.
        (read_as,) = {
            row["correlation_id"]
            for row in world.rows(
                "SELECT correlation_id FROM source_version WHERE noun = 'Opportunity'"
            )
        }
        told = world.rows(
            "SELECT DISTINCT correlation_id FROM effect UNION SELECT correlation_id FROM provisioning_plan"
            " UNION SELECT correlation_id FROM event WHERE type IN ('deal.won', 'project.active')"
            " UNION SELECT correlation_id FROM work_item WHERE kind = 'provision'"
        )
        assert {row["correlation_id"] for row in told} == {read_as}

    def test_is_forecast_by_what_its_steps_took_and_what_vendors_allow(self, world: World) -> None:
        world.win()
        world.flow.keep_register()

        with world.flow.database.transaction() as connection:
            took = {"connection_key": CLOCK, "noun": "assignment", "milliseconds": 500}
            note_steps(connection, took=[{**took, "calls": 440}, {**took, "calls": 460}])
            found = forecast_handover(connection, states=count_deal_plans(connection), now=NOW)
            unseen = forecast_handover(connection, states={}, now=NOW)

        # Two assignments of 450 calls and three steps of two, by 45 of the 50 calls of five seconds.
        assert (found.deals, found.slowest, found.calls) == (1, CLOCK, 906 + 10)
        assert found.through_at == NOW + timedelta(seconds=101)
        # Who sees none of it is told nothing of it.
        assert (unseen.deals, unseen.calls, unseen.through_at) == (0, 0, NOW)

    def test_is_told_to_the_crm_at_the_end(self, world: World) -> None:
        world.win()

        world.flow.run()

        assert world.told() == {
            "tieline_project_status": "active",
            "tieline_project_ref": "DP-1",
        }
        (status,) = world.rows("SELECT state, target_connection FROM effect WHERE noun = 'status'")
        assert status == {"state": "CONFIRMED", "target_connection": CRM}

    def test_is_told_once_when_the_answer_of_the_crm_was_lost(self, world: World) -> None:
        world.win()
        rule = {"name": "one", "kind": "answer_lost", "method": "PATCH", "occurrences": [1]}
        world.crm.do("faults", {"add": [{**rule, "path": "/crm/v3/objects/deals"}]})

        world.flow.run()

        assert world.told()["tieline_project_status"] == "active"
        (status,) = world.rows("SELECT state, attempt FROM effect WHERE noun = 'status'")
        assert status == {"state": "CONFIRMED", "attempt": 1}

    def test_makes_nothing_twice_when_it_is_run_again(self, world: World) -> None:
        world.win()
        world.flow.run()
        before = len(world.clock.journal()), len(world.crm.journal())

        world.flow.provision(str(world.plan["plan_id"]))
        world.flow.run()

        assert (len(world.clock.journal()), len(world.crm.journal())) == before
        assert world.in_books() == IN_BOOKS

    def test_is_left_alone_by_a_run_that_was_taken_over(self, world: World) -> None:
        world.win()
        world.flow.keep_register()

        with pytest.raises(LeaseLost, match="was taken over by another run"):
            world.flow.provision(str(world.plan["plan_id"]), steps=_TakenOver())

        assert world.rows("SELECT FROM effect") == []

    def test_is_planned_alone_as_with_everything_else(self, world: World) -> None:
        world.win()
        database, owner = world.flow.database, world.flow.owner
        sync_clients(database, now=NOW, correlation_id="c")
        sync_people(database, now=NOW)
        # Another firm's deal and staffing are nothing to it.
        land_deal(database, deal="4711", client_ref="c2", project_code="XX-1", minute=1)

        alone = plan_new_deals(database, deals={(CRM, world.deal)}, now=NOW)
        (planned,) = world.rows("SELECT plan_id, state, plan FROM provisioning_plan")
        again = plan_new_deals(database, deals={(CRM, world.deal)}, now=NOW)
        land_deal(database, deal=world.deal, purchase_order="PO-2", minute=2)
        otherwise = plan_new_deals(database, deals={(CRM, world.deal)}, now=NOW)
        with owner.transaction() as connection:
            connection.execute("UPDATE provisioning_plan SET state = 'active'")
        told = plan_new_deals(database, deals={(CRM, world.deal)}, now=NOW)
        land_deal(database, deal=world.deal, amount=Decimal(1), minute=3)
        changed = plan_new_deals(database, deals={(CRM, world.deal)}, now=NOW)
        land_deal(database, deal=world.deal, minute=4)
        with owner.transaction() as connection:
            connection.execute("DELETE FROM provisioning_plan")
        plan_deals(database, now=NOW)
        (with_all,) = world.rows(
            f"SELECT state, plan FROM provisioning_plan WHERE deal_ref = '{world.deal}'"
        )

        assert alone is not None
        assert list(alone) == [planned["plan_id"]]
        assert again == {}
        assert otherwise is None, "what was planned otherwise is looked at with everything"
        assert told == {}, "what stands as it says is left alone"
        assert changed is None
        assert planned["state"] == "ready"
        assert _unread(planned["plan"]) == _unread(with_all["plan"])
        assert world.events().count("deal.won") == 2

    def test_is_not_planned_alone_where_something_stands_in_its_way(self, world: World) -> None:
        win_two_of_one_code(world)
        database = world.flow.database
        sync_clients(database, now=NOW, correlation_id="c")
        sync_people(database, now=NOW)

        alone = plan_new_deals(database, deals={(CRM, world.second_deal)}, now=NOW)

        assert alone is None
        assert world.rows("SELECT 1 AS one FROM provisioning_plan") == []

    def test_that_runs_is_not_planned_over_by_who_began_earlier(self, world: World) -> None:
        world.win()
        world.flow.keep_register()
        with world.flow.database.transaction() as connection:
            (facts,) = load_deals(connection, now=NOW)
            begin_plan(connection, plan_id=world.plan["plan_id"], now=NOW)
            begun = world_plan(connection)
            store_plan(
                connection, facts, Judged(blockers=(), warnings=(), not_checked=()), None, now=NOW
            )

            assert world_plan(connection) == begun

    def test_accepts_no_time_before_every_system_has_it(self, world: World) -> None:
        world.win()
        world.refuse("time.assignment", keep="time.assignment")

        world.flow.run()

        seen = {
            row["status"]
            for row in world.rows("SELECT status FROM project_version WHERE accepts_time")
        }
        assert seen == set()
        assert "project.active" not in world.events()


def _unread(plan: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plan.items() if name not in ("version", "inputs")}


def world_plan(connection: Connection[Any]) -> dict[str, Any]:
    row = connection.execute("SELECT * FROM provisioning_plan").fetchone()
    assert row is not None
    assert row["state"] == "running"
    return dict(row)


class TestTwoDealsOfOneCode:
    def test_let_the_first_begin_and_hold_the_second(self, world: World) -> None:
        win_two_of_one_code(world)

        asked_twice = world.case("deal.project_code_asked_twice")
        waiting = blocking(world)
        world.flow.run()
        world.flow.keep_register()

        assert (asked_twice.thing_key, asked_twice.details["things"]) == (
            f"{CRM}:{world.second_deal}", f"{CRM}:{world.deal}"
        )  # fmt: skip
        assert waiting == {world.deal: [], world.second_deal: ["deal.project_code_asked_twice"]}
        assert blocking(world) == {
            world.deal: [], world.second_deal: ["deal.project_code_taken"]
        }  # fmt: skip

    def test_leave_its_place_to_the_one_that_is_ready(self, world: World) -> None:
        world.win()
        world.flow.keep_register()
        # It is read later, and says that it was won earlier.
        land_deal(
            world.flow.database, deal=world.second_deal, project_code="DP-1", minute=1,
            closed_on=NOW.date() - timedelta(days=400),
        )  # fmt: skip

        world.flow.keep_register()

        assert blocking(world) == {
            world.deal: [], world.second_deal: ["deal.project_code_asked_twice"]
        }  # fmt: skip

    def test_hold_the_second_when_both_were_ready(self, world: World) -> None:
        win_two_of_one_code(world)
        world.flow.keep_register()
        with world.flow.owner.transaction() as connection:
            connection.execute("UPDATE provisioning_plan SET state = 'ready'")
        plans = world.rows("SELECT plan_id, deal_ref FROM provisioning_plan ORDER BY deal_ref")

        for plan in plans:
            world.flow.provision(str(plan["plan_id"]))

        states = world.rows("SELECT state FROM provisioning_plan ORDER BY deal_ref")
        assert [row["state"] for row in states] == ["active", "blocked"]
        assert world.in_books() == IN_BOOKS
        world.flow.keep_register()
        assert blocking(world)[plans[1]["deal_ref"]] == ["deal.project_code_taken"]


def win_two_of_one_code(world: World) -> None:
    world.win()
    land_deal(world.flow.database, deal=world.second_deal, project_code="DP-1", minute=1)


def blocking(world: World) -> dict[str, list[str]]:
    rows = world.rows("SELECT deal_ref, blockers FROM provisioning_plan")
    return {row["deal_ref"]: [each["code"] for each in row["blockers"]] for row in rows}


class TestBlockedDeal:
    def test_names_every_blocker_at_once(self, world: World) -> None:
        world.win(
            currency="CHF",
            practice=None,
            purchase_order=None,
            project_code="bad code",
            closed_on=None,
        )

        world.flow.run()

        codes = {blocker["code"] for blocker in world.plan["blockers"]}
        assert world.plan["state"] == "blocked"
        assert codes == {
            "deal.currency_not_billable",
            "deal.practice_missing",
            "deal.purchase_order_missing",
            "deal.project_code_format",
        }
        assert world.reasons() >= codes
        assert (world.in_books(), world.in_clock()) == ([], [])

    def test_goes_on_when_the_last_of_them_is_gone(self, world: World) -> None:
        world.win(practice=None, purchase_order=None)
        world.flow.run()
        world.change(1, practice=None)
        world.flow.run()
        assert [blocker["code"] for blocker in world.plan["blockers"]] == ["deal.practice_missing"]

        world.change(2)
        world.flow.run()

        assert world.plan["state"] == "active"
        assert world.reasons() == set()


class TestStaffingOfAnActiveProject:
    def test_reaches_the_time_tool_once(self, world: World) -> None:
        world.start()
        before = world.effects()

        world.assign("anna")
        world.flow.run()

        assert world.assigned() == 1
        assert [one for one in world.effects() if one not in before] == [
            {"noun": "assignment", "part": "A1", "effect_no": 1, "state": "CONFIRMED", "attempt": 1}
        ]
        assert world.plan["state"] == "active"
        assert world.reasons() == set()

    def test_gives_a_lent_person_the_second_employee_record_first(self, world: World) -> None:
        world.start()

        world.assign("ben")
        world.flow.run()

        sent = world.rows("SELECT noun FROM effect WHERE attempt > 0 ORDER BY sent_at")
        assert [row["noun"] for row in sent][-2:] == ["employee", "assignment"]
        assert world.in_books() == IN_BOOKS
        assert world.links().count(f"{BOOKS}.employee") == 1

    def test_makes_nothing_twice_when_it_is_run_again(self, world: World) -> None:
        world.start()
        world.assign("ben")
        world.flow.run()
        before = len(world.clock.journal()), len(world.crm.journal()), world.effects()

        world.flow.provision(str(world.plan["plan_id"]))
        world.flow.keep_register()

        assert (len(world.clock.journal()), len(world.crm.journal()), world.effects()) == before
        assert world.in_books() == IN_BOOKS
        assert world.rows("SELECT 1 FROM work_item WHERE kind = 'provision'") == []

    def test_is_assigned_once_when_the_answer_was_lost(self, world: World) -> None:
        world.start()
        rule = {"name": "one", "kind": "answer_lost", "method": "POST", "occurrences": [1]}
        world.clock.do("faults", {"add": [{**rule, "path": "/user_assignments"}]})

        world.assign("anna")
        world.flow.run()

        assert world.assigned() == 1
        (effect,) = world.rows("SELECT state, attempt FROM effect WHERE noun = 'assignment'")
        assert effect == {"state": "CONFIRMED", "attempt": 1}

    @pytest.mark.parametrize("step", ["erp.employee", "time.assignment"])
    def test_leaves_a_case_and_the_project_when_it_is_refused(
        self, world: World, step: str
    ) -> None:
        world.start()
        world.refuse(step)

        world.assign("ben")
        world.flow.run()
        before = world.effects()
        world.flow.run()

        assert world.plan["state"] == "active"
        assert world.project() == ("active", True)
        assert world.assigned() == 0
        assert world.effects() == before
        assert world.reasons() == {"posted.rejected"}
        assert world.case("posted.rejected").owner_queue != ""
        accepted = {row["accepts_time"] for row in world.rows(
            "SELECT accepts_time FROM project_version WHERE status = 'active'")}  # fmt: skip
        assert accepted == {True}

    @pytest.mark.parametrize("step", ["erp.employee", "time.assignment"])
    def test_is_made_after_the_repair(self, world: World, step: str) -> None:
        world.start()
        world.refuse(step)
        world.assign("ben")
        world.flow.run()
        world.reasons()
        world.refuse("")

        _replay(world, world.case("posted.rejected").case_id)
        world.flow.run()

        assert world.assigned() == 1
        assert world.in_books() == IN_BOOKS
        assert world.reasons() == set()

    def test_holds_back_only_whom_nobody_agreed_to_lend(self, world: World) -> None:
        world.start()
        agreed = staffing_fact("intercompany", "ben", employee_code="B9", entity_code="HR-DE")
        land_as_read(
            world.flow.database, STAFF, "staffing", {"i2": agreed}, minute=1, is_deleted=True
        )

        world.assign("ben")
        world.assign("anna")
        world.flow.run()

        assert world.assigned() == 1
        assert world.reasons() == {"deal.intercompany_not_agreed"}
        land_as_read(world.flow.database, STAFF, "staffing", {"i2": agreed}, minute=2)
        world.flow.run()
        assert world.assigned() == 2
        assert world.reasons() == set()

    def test_takes_off_whom_the_list_has_no_more(self, world: World) -> None:
        world.start()
        world.assign("anna")
        world.assign("ben")
        world.flow.run()

        world.take_off("ben", minute=1)
        world.flow.run()

        assert world.assigned() == 1
        assert world.in_books() == IN_BOOKS
        assert world.project() == ("active", True)
        before = world.effects()
        world.flow.run()
        assert world.effects() == before
        world.assign("ben", minute=2)
        world.flow.run()
        assert world.assigned() == 2
        assert world.reasons() == set()

    def test_that_cannot_be_taken_off_is_a_case(self, world: World) -> None:
        world.start()
        world.assign("anna")
        world.flow.run()
        world.refuse("", keep="time.assignment")

        world.take_off("anna", minute=1)
        world.flow.run()
        before = world.effects()
        world.flow.run()

        assert world.reasons() == {"posted.rejected"}
        assert world.effects() == before
        assert world.assigned() == 1
        world.refuse("")
        _replay(world, world.case("posted.rejected").case_id)
        world.flow.run()
        assert world.assigned() == 0


_REFUSED = [
    "erp.client",
    "erp.contract",
    "erp.project",
    "erp.task",
    "erp.employee",
    "time.client",
    "time.project",
    "time.task",
    "time.assignment",
]


class TestRefusedStep:
    @pytest.mark.parametrize("step", _REFUSED)
    def test_takes_back_everything_before_it(self, world: World, step: str) -> None:
        world.win()
        world.refuse(step)

        world.flow.run()

        assert world.plan["state"] == "compensated"
        assert world.project() == ("compensated", False)
        assert (world.in_books(), world.in_clock(), world.links()) == ([], [], [])
        assert world.told() == {}
        assert world.open_effects() == []
        case = world.case(COMPENSATED)
        assert case.thing_key == f"{CRM}:{world.deal}"
        assert case.details["residue"] == ""
        assert "takes no" in case.details["message"] or "take no" in case.details["message"]

    @pytest.mark.parametrize("step", _REFUSED)
    def test_is_made_once_after_the_repair(self, world: World, step: str) -> None:
        world.win()
        world.refuse(step)
        world.flow.run()
        world.case(COMPENSATED)
        world.refuse("")

        world.try_again()

        assert world.plan["state"] == "active"
        assert world.project() == ("active", True)
        assert sorted(world.in_books()) == sorted(IN_BOOKS)
        assert sorted(world.in_clock()) == IN_CLOCK
        assert world.told()["tieline_project_status"] == "active"
        assert world.reasons() == set()

    def test_of_the_report_leaves_the_project_and_a_case(self, world: World) -> None:
        world.win()
        world.refuse("crm.status")

        world.flow.run()

        assert world.plan["state"] == "active"
        assert world.project() == ("active", True)
        assert world.reasons() == {"posted.rejected"}

    def test_of_the_report_is_told_after_the_repair(self, world: World) -> None:
        world.win()
        world.refuse("crm.status")
        world.flow.run()
        world.reasons()
        world.refuse("")

        _replay(world, world.case("posted.rejected").case_id)
        world.flow.run()

        assert world.told()["tieline_project_status"] == "active"
        assert world.reasons() == set()


class TestUndoThatIsRefusedToo:
    @pytest.mark.parametrize(
        ("kept", "residue"),
        [
            ("erp.contract", "erp.contract 2: books.in_use"),
            ("time.project", "vendor.in_use"),
        ],
    )
    def test_is_a_case_that_names_what_is_left(self, world: World, kept: str, residue: str) -> None:
        world.win()
        world.refuse("time.assignment", keep=kept)

        world.flow.run()

        assert world.plan["state"] == "stuck"
        assert world.project() == ("compensated", False)
        case = world.case(STUCK)
        assert kept in case.details["residue"]
        assert residue in case.details["residue"]
        assert ";" not in case.details["residue"]

    def test_is_judged_again_before_it_is_tried_again(self, world: World) -> None:
        world.win()
        world.refuse("time.assignment")
        world.flow.run()
        world.refuse("")
        plan_id = world.plan["plan_id"]
        with world.flow.database.transaction() as connection:
            ask_for_project(connection, plan_id=plan_id, correlation_id="again")
        # Its worker is quicker than the look that follows the CRM.
        world.change(5, stage="closedlost", is_won=False)

        world.flow.provision(str(plan_id))

        assert world.plan["state"] == "blocked"
        assert [each["code"] for each in world.plan["blockers"]] == ["deal.reopened"]
        assert (world.in_books(), world.in_clock()) == ([], [])
        with (
            world.flow.database.transaction() as connection,
            pytest.raises(UserMistake, match=r"cannot become a project yet: deal\.reopened"),
        ):
            ask_for_project(connection, plan_id=plan_id, correlation_id="again")

    def test_is_taken_up_where_it_stands_after_the_repair(self, world: World) -> None:
        world.win()
        world.refuse("time.assignment", keep="erp.contract")
        world.flow.run()
        assert world.in_books() == ["contract"]
        world.refuse("")

        world.try_again()

        assert world.plan["state"] == "active"
        assert sorted(world.in_books()) == sorted(IN_BOOKS)
        assert sorted(world.in_clock()) == IN_CLOCK
        assert world.reasons() == set()


class TestTwoDealsOfOneClient:
    def test_share_what_both_build_on_though_one_is_taken_back(self, world: World) -> None:
        world.win()
        world.win_another()
        world.flow.keep_register()
        first, second = (
            str(row["plan_id"])
            for row in world.rows(
                "SELECT plan_id FROM provisioning_plan ORDER BY plan ->> 'project_code'"
            )
        )
        down = replace(world.systems, clock_busy=frozenset({"client"}))
        world.flow = replace(world.flow, directory=down.directory())
        # Both have passed the books when the time tool begins to refuse the first.
        world.flow.provision(first)
        for _ in range(3):
            world.flow.provision(second)
            world.flow.pass_settle_windows()
        refusing = replace(world.systems, clock_refuses=frozenset({"project:DP-1"}))
        world.flow = replace(world.flow, directory=refusing.directory())

        world.flow.run()

        states = world.rows("SELECT state FROM provisioning_plan ORDER BY plan ->> 'project_code'")
        assert [row["state"] for row in states] == ["compensated", "active"]
        assert sorted(world.in_books()) == sorted(IN_BOOKS)
        assert f"{BOOKS}.employee" in world.links()
        assert world.in_clock().count("clients") == 1


def _replay(world: World, case_id: UUID) -> None:
    with world.flow.database.transaction() as connection:
        fix_and_replay(connection, case_id=case_id, by="ann", reason="repaired", now=NOW)
