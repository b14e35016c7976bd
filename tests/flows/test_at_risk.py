"""A project opens before its deal is won: its hours wait, count up, and flow once it is won."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb
from tests.flows.test_time_validation import World
from tests.support.deal import CRM, NOW
from tests.support.deal_world import IN_BOOKS, opened_world
from tests.support.handover_desk import Desk

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.at_risk import OpenRisk, Risk, Wish, list_risks
from tieline.services.handing_over import show_handover
from tieline.services.handover_drawing import draw_handover
from tieline.services.telling_risk import reached_step

RISK = Risk(sponsor="sue", limit_amount=Decimal(1000), ends_on=date(2026, 12, 1))
OPEN = {"is_won": False, "stage": "contractsent", "closed_on": None}
UNTIL = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)


class RiskDesk(Desk):
    """A desk at which a deal that is not won is looked at."""

    def show_wish(self, wish: Wish) -> str:
        with self.world.flow.database.transaction() as connection:
            drawn = draw_handover(connection, ref=f"{CRM}:{self.world.deal}", now=NOW, wish=wish)
            return show_handover(connection, drawn=drawn, to="ann", now=NOW).digest

    def agree(self, wish: Wish) -> None:
        """Show, propose, approve and carry out."""
        self.show_wish(wish)
        self.approve(self.apply(self.world.deal), "bob")
        self.world.flow.run()

    def risks(self) -> tuple[OpenRisk, ...]:
        with self.world.flow.database.transaction() as connection:
            return list_risks(connection)

    def let_wait(self, *, seconds: int, amount: Decimal) -> None:
        """Add an hour of the project that was judged and waits."""
        with self.world.flow.owner.transaction() as connection:
            connection.execute(
                """
                WITH entry AS (
                    INSERT INTO time_entry (connection_key, source_epoch, object, source_ref, newest_version)
                    VALUES ('clock', 0, 'time_entry', 'e1', 1) RETURNING entry_id),
                version AS (
                    INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref,
                        work_date, seconds, quantum_seconds, is_billable, approval, approval_word,
                        narrative_length, material_hash, material_version, recorded_at, raw_id, batch_id,
                        correlation_id)
                    SELECT e.entry_id, 1, true, false, 'u', '2026-10-07', %(seconds)s, 36, true, 'approved',
                           'locked', 0, '', 1, %(now)s, 1, b.batch_id, 'c'
                    FROM entry e, (SELECT min(batch_id) AS batch_id FROM intake_batch) b
                    RETURNING entry_id),
                judged AS (
                    INSERT INTO verdict (entry_id, version, outcome, release_id, known_at, judged_at, project_id,
                        contract_id, entity_code, work_date, seconds, is_billable, currency, amount, neighbor_keys,
                        parked_until, correlation_id)
                    SELECT e.entry_id, 1, 'parked', r.release_id, %(now)s, %(now)s, p.project_id, p.contract_id,
                           p.entity_code, '2026-10-07', %(seconds)s, true, 'EUR', %(amount)s,
                           ARRAY['entry:' || e.entry_id], %(now)s, 'c'
                    FROM version e, release r, project p RETURNING verdict_id, entry_id)
                SELECT verdict_id, entry_id FROM judged
                """,
                {"now": NOW, "seconds": seconds, "amount": amount},
            )
            connection.execute(
                "UPDATE time_entry t SET verdict_id = v.verdict_id FROM verdict v"
                " WHERE v.entry_id = t.entry_id"
            )

    def waits_until(self) -> datetime | None:
        (row,) = self.world.rows(
            "SELECT at_risk_until FROM project_version WHERE superseded_at IS NULL"
        )
        until: datetime | None = row["at_risk_until"]
        return until


@pytest.fixture
def desk(database: Dsns, tmp_path: Path) -> Iterator[RiskDesk]:
    with opened_world(database, tmp_path) as world:
        made = RiskDesk(world)
        with world.flow.owner.transaction() as connection:
            connection.execute(
                "INSERT INTO person_login (login, display_name, password_hash, roles, entities, created_at,"
                " created_by) VALUES ('sue', 'Sue', '$argon2id$none', '{delivery}', '{HR-DE}', %s, 'ann')",
                (NOW,),
            )
        yield made


class TestAProjectAtRisk:
    def test_is_made_by_two_and_flows_when_its_deal_is_won(self, desk: RiskDesk) -> None:
        world = desk.world
        world.win(**OPEN)
        world.flow.keep_register()
        assert desk.begun() == (0, 0, 0)

        desk.show_wish(Wish(risk=RISK))
        applied = desk.apply(world.deal)
        with pytest.raises(UserMistake, match="ann proposed it and may not approve it"):
            desk.approve(applied, "ann")
        assert desk.begun() == (0, 0, 0)
        desk.approve(applied, "bob")
        world.flow.run()

        assert world.plan["state"] == "active"
        assert (world.project(), desk.waits_until()) == (("active", True), UNTIL)
        assert world.in_books() == IN_BOOKS
        assert world.told()["tieline_project_status"] == "at_risk"
        assert (world.reasons(), world.events().count("deal.won")) == (set(), 0)
        (risk,) = desk.risks()
        assert (risk.sponsor, risk.limit_amount, risk.percent) == ("sue", Decimal(1000), 0)

        desk.agree(Wish(risk=replace(RISK, limit_amount=Decimal(2500))))
        assert [each.limit_amount for each in desk.risks()] == [2500]

        world.change(1)
        world.flow.run()

        assert (desk.waits_until(), desk.risks()) == (None, ())
        assert world.told()["tieline_project_status"] == "active"
        assert world.events().count("deal.won") == 1
        assert world.in_books() == IN_BOOKS
        ended = world.rows("SELECT ended_because FROM project_risk ORDER BY opened_at, ended_at")
        assert {row["ended_because"] for row in ended} == {"replaced", "won"}

    def test_is_ended_and_written_off_by_two_when_its_deal_is_lost(self, desk: RiskDesk) -> None:
        world = desk.world
        world.win(**OPEN)
        world.flow.keep_register()
        desk.agree(Wish(risk=RISK))
        desk.let_wait(seconds=7200, amount=Decimal(300))
        assert [(each.amount, each.percent) for each in desk.risks()] == [(Decimal(300), 30)]
        drawn, _ = desk.show(world.deal)
        assert (drawn.kind, drawn.risk is None) == ("stands", False)

        desk.show_wish(Wish(is_lost=True))
        applied = desk.apply(world.deal)
        (proposal,) = world.rows("SELECT payload FROM proposal WHERE state = 'proposed'")
        assert proposal["payload"]["told"] == "6 steps, writes off EUR 300.00"
        with pytest.raises(UserMistake, match="ann proposed it and may not approve it"):
            desk.approve(applied, "ann")
        desk.approve(applied, "bob")
        world.flow.run()

        assert (world.plan["state"], world.project()) == ("closed", ("closed", False))
        assert world.rows("SELECT proposed_by, approved_by FROM exclusion") == [
            {"proposed_by": "ann", "approved_by": "bob"}
        ]
        assert (desk.risks(), desk.waits_until()) == ((), None)
        assert world.rows("SELECT ended_because FROM project_risk") == [{"ended_because": "lost"}]
        assert world.told()["tieline_project_status"] == "closed"

    def test_begins_nothing_where_it_cannot(self, desk: RiskDesk) -> None:
        world = desk.world
        world.win(**OPEN)
        world.flow.keep_register()

        for risk, why in (
            (replace(RISK, sponsor="nobody"), "nobody is nobody who sees HR-DE"),
            (replace(RISK, limit_amount=Decimal(0)), "a limit above 0"),
            (
                replace(RISK, limit_amount=Decimal("1e99")),
                "a limit above 0, 1,000,000,000,000 at most",
            ),
            (replace(RISK, limit_amount=Decimal("0.001")), "0.001 is no amount that can be paid"),
            (replace(RISK, ends_on=NOW.date()), "ends on a day to come"),
        ):
            with pytest.raises(UserMistake, match=why):
                desk.show_wish(Wish(risk=risk))
        with pytest.raises(UserMistake, match="no project that is open at risk"):
            desk.show_wish(Wish(is_lost=True))
        desk.show_wish(Wish(risk=RISK))
        world.change(1)
        with pytest.raises(UserMistake, match="is won: it is handed over"):
            desk.apply(world.deal)
        assert desk.begun() == (0, 0, 0)


class TestHoursAtRisk:
    def test_wait_and_count_up_until_the_deal_is_won(
        self, database: Dsns, worker_database: Database
    ) -> None:
        owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
        world = World(owner, worker_database)
        until = NOW.replace(year=NOW.year + 1)
        world.say(
            "WITH plan AS (INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state,"
            " entity_code, contract_id, project_id, plan, planned_at, known_at, correlation_id)"
            " SELECT 'harvest', 0, 'd1', 'active', p.entity_code, p.contract_id, p.project_id, %s, now(), now(), 'c'"
            " FROM project p RETURNING plan_id, entity_code)"
            " INSERT INTO project_risk (plan_id, entity_code, sponsor, limit_amount, currency, ends_on,"
            " proposed_by, approved_by, opened_at)"
            " SELECT plan_id, entity_code, 'sue', 500, 'EUR', %s, 'ann', 'bob', now() FROM plan"
            " RETURNING risk_id",
            Jsonb({"project_code": "P1"}),
            until.date(),
        )
        world.say(
            "UPDATE project_version SET at_risk_until = %s WHERE superseded_at IS NULL RETURNING 1",
            until,
        )

        world.book("1", 3600)
        world.book("2", 7200)

        assert (world.places(), world.target.calls) == ({"pending": 2}, 0)
        (waiting,) = world.say(
            "SELECT DISTINCT v.parked_until, r.code FROM verdict v JOIN verdict_reason r USING (verdict_id)"
        )
        assert waiting == {"parked_until": until, "code": "time.project_at_risk"}
        with worker_database.transaction() as connection:
            (risk,) = list_risks(connection)
        assert (risk.seconds, risk.amount, risk.percent) == (10800, Decimal(450), 90)
        assert [reached_step(each) for each in (49, 50, 79, 90, 130)] == [None, 50, 50, 80, 100]

        world.say(
            "UPDATE project_version SET at_risk_until = NULL WHERE superseded_at IS NULL RETURNING 1"
        )
        world.post()
        assert world.places() == {"posted": 2}
        owner.close()
