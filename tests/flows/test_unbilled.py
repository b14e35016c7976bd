"""What was delivered of a lost deal and not billed is taken back where the firm wants that, by two people."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from psycopg.types.json import Jsonb
from tests.flows.test_time_validation import World
from tests.support.deal import land_as_read, won_deal
from tests.support.scene import NOW

from tieline.kernel.errors import UserMistake
from tieline.reconciliation import OWN_CHECKS, look_at_own_books
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.handing_over import Applied, apply_handover, show_handover
from tieline.services.handover_drawing import draw_handover
from tieline.services.shown_plans import Chosen

DEAL = "sales:7"


class Desk:
    """A project with hours whose deal was lost, and somebody who closes it."""

    def __init__(self, world: World) -> None:
        self.world = world
        with world.owner.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode, settle_seconds)"
                " VALUES ('sales', 'hubspot', 'crm', 'act', 1)"
            )
            connection.execute(
                "INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state, entity_code,"
                " contract_id, project_id, plan, planned_at, known_at, correlation_id)"
                " VALUES ('sales', 0, '7', 'active', 'HR-DE', %s, %s, %s, %s, %s, 'c')",
                (world.scene.contract_id, world.scene.project_id,
                 Jsonb({"client_id": None, "steps": [], "done": {}, "project_code": "P1"}), NOW, NOW),
            )  # fmt: skip
        lost = won_deal(is_won=False, stage="closedlost", project_code="P1")
        land_as_read(world.worker, "sales", "deals", {"7": lost})

    def decide(self, word: str) -> None:
        with self.world.owner.transaction() as connection:
            connection.execute(
                "UPDATE policy_value SET value = %s WHERE name = 'unbilled_of_lost_deal'"
                " AND release_id = (SELECT release_id FROM release WHERE state = 'current')",
                (word,),
            )

    def show(self) -> list[tuple[str, str, dict[str, str | None]]]:
        with self.world.worker.transaction() as connection:
            drawn = draw_handover(connection, ref=DEAL, now=NOW)
            show_handover(connection, drawn=drawn, to="ann", now=NOW)
        return [
            (each.action, each.part, {told.name: told.value for told in each.fields})
            for each in drawn.writes
            if each.noun == "time_line"
        ]

    def apply(self) -> Applied:
        with self.world.worker.transaction() as connection:
            return apply_handover(
                connection,
                ref=DEAL,
                chosen=Chosen(),
                by="ann",
                reason="they went elsewhere",
                now=NOW,
            )

    def approve(self, applied: Applied, by: str = "bob") -> None:
        assert applied.proposal_id is not None
        with self.world.worker.transaction() as connection:
            connection.execute("SELECT set_config('tieline.entities', 'HR-DE', true)")
            approve_and_carry_out(
                connection,
                proposal_id=applied.proposal_id,
                reason="agreed",
                by=Decider(login=by),
                connectors=cast(Any, SimpleNamespace()),
                now=NOW,
            )

    def places(self) -> dict[str, str]:
        rows = self.world.say(
            "SELECT t.source_ref, p.place FROM entry_place p JOIN time_entry t USING (entry_id)"
        )
        return {row["source_ref"]: row["place"] for row in rows}


@pytest.fixture
def desk(database: Dsns, worker_database: Database) -> Any:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield Desk(World(owner, worker_database))
    owner.close()


def _invoice(world: World, source_ref: str) -> None:
    world.say(
        """
        WITH made AS (
            INSERT INTO invoice_record (contract_id, period_id, project_id, entity_code, business_key,
                target_connection, target_code, number, state, currency, untaxed_amount, total_amount,
                expected_amount, ledger_amount, recorded_at, correlation_id)
            SELECT l.contract_id, l.period_id, l.project_id, l.entity_code, l.business_key,
                l.target_connection, 'inv-1', 'INV/1', 'posted', 'EUR', 150, 150, 150, 150, l.booked_at, 'c'
            FROM ledger_line l JOIN time_entry t USING (entry_id) WHERE t.source_ref = %s
            RETURNING invoice_id, business_key)
        INSERT INTO invoice_ledger_line (business_key, invoice_id)
        SELECT business_key, invoice_id FROM made
        """,
        source_ref,
    )


class TestALostDeal:
    def test_keeps_what_was_delivered_unless_the_firm_says_otherwise(self, desk: Desk) -> None:
        desk.world.book("e1", 3600)

        shown = desk.show()
        applied = desk.apply()
        desk.world.post()

        assert shown == []
        assert applied.state == "closing"
        assert desk.places()["e1"] == "posted"

    def test_takes_back_what_is_on_no_invoice_when_two_people_agree(self, desk: Desk) -> None:
        world = desk.world
        desk.decide("reverse")
        world.book("billed", 3600)
        world.book("unbilled", 7200)
        world.book("held", 3600, task_ref="nobody knows it")
        _invoice(world, "billed")
        before = desk.places()

        shown = desk.show()
        world.book("late", 1800)
        with pytest.raises(UserMistake, match=r"stale: .*writes\.reverse:2026-10:EUR\.entries"):
            desk.apply()
        shown = desk.show()
        applied = desk.apply()
        with pytest.raises(UserMistake, match="ann proposed it and may not approve it"):
            desk.approve(applied, by="ann")
        assert desk.places()["unbilled"] == "posted"
        desk.approve(applied)
        world.post()

        assert (before["billed"], before["unbilled"], before["held"]) == (
            "posted",
            "posted",
            "held",
        )
        assert shown == [
            ("leave_out", "2026-10", {"entries": "1", "hours": "1.00"}),
            ("reverse", "2026-10", {"entries": "2", "hours": "2.50", "amount": "EUR 375.00"}),
        ]
        assert desk.places() == {
            "billed": "posted", "unbilled": "excluded", "held": "excluded", "late": "excluded",
        }  # fmt: skip
        (net,) = world.say(
            "SELECT sum(seconds)::int AS seconds, sum(amount) AS amount FROM ledger_line"
        )
        assert (net["seconds"], net["amount"]) == (3600, 150)
        assert sum(line.seconds for line in world.target.lines.values()) == 3600
        with world.worker.transaction() as connection:
            for check in OWN_CHECKS:
                assert look_at_own_books(connection, check=check) == (), check
        (audit,) = world.say("SELECT actor, data FROM audit WHERE action = 'deal.closed'")
        assert (audit["actor"], audit["data"]["proposed_by"]) == ("bob", "ann")

    def test_takes_back_nothing_that_waits_for_its_invoice(self, desk: Desk) -> None:
        world = desk.world
        desk.decide("reverse")
        world.book("e1", 3600)
        world.say(
            "INSERT INTO release_lock (contract_id, period_id, entity_code, up_to_on, released_by, reason,"
            " released_at) VALUES (%s, %s, 'HR-DE', '2026-10-31', 'ann', 'due', %s)",
            world.scene.contract_id, world.scene.period_id, NOW,
        )  # fmt: skip
        desk.show()

        with pytest.raises(UserMistake, match="released for billing in 2026-10"):
            desk.apply()
