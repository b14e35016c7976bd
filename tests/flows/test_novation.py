"""The client of a running contract changes from a day on: hours before it are the first one's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.rooms.casework.hand_made_firm import Firm
from tests.support.deal import (
    BOOKS,
    CLOCK,
    COMPANY,
    CRM,
    ENDS_ON,
    NOW,
    STARTS_ON,
    land_as_read,
    line,
    user_refs,
    won_deal,
)
from tests.support.deal_world import opened_world
from tests.support.handover_desk import Desk
from tests.support.scene import approve_shipped_rules
from tests.support.target import FixedClock

from tieline.app import InstalledSystems
from tieline.canonical import Approval, TimeEntry
from tieline.kernel.errors import UserMistake
from tieline.runtime.migrate import Dsns
from tieline.services.at_risk import Wish
from tieline.services.handing_over import show_handover
from tieline.services.handover_drawing import Handover, draw_handover
from tieline.services.novation import Novation, from_day, read_novation
from tieline.services.register_lists import list_assignments
from tieline.validation import judge

DAY = date(2026, 10, 20)
CAPPED = {"billing_method": "capped_time_and_materials", "cap_amount": Decimal(12000)}
NEXT = replace(COMPANY, name="Suedwind SE", vat_number="DE129273398", domain="suedwind.example")


class TestWhatIsLeftOfADeal:
    def test_is_what_was_not_booked_of_the_lines_that_go_on(self) -> None:
        lines = (
            line("Build"),
            line("Build", rate_amount=Decimal(160), rate_starts_on=date(2026, 10, 12)),
            line("Build", rate_amount=Decimal(170), rate_starts_on=date(2027, 1, 1)),
            line("Run"),
        )
        deal = won_deal(lines=lines, amount=Decimal(63000))
        novation = Novation(
            on=DAY,
            number=2,
            code="DP-1/2",
            seconds={"Build|Consultant": 36000, "Run|Consultant": 1188},
        )

        rest = from_day(deal, novation)

        assert [(each.rate_amount, each.hours, each.rate_starts_on) for each in rest.lines] == [
            (Decimal(160), Decimal(90), None),
            (Decimal(170), Decimal(100), date(2027, 1, 1)),
            (Decimal(150), Decimal("99.67"), None),
        ]
        # The first client's: the rate that ended, ten hours at the second, and a third of one.
        assert rest.amount == Decimal(63000) - Decimal(15000) - Decimal(1600) - Decimal("49.50")
        assert rest.amount == sum(each.amount or 0 for each in rest.lines)
        assert rest.starts_on == DAY
        assert from_day(deal, None) == deal
        capped = replace(deal, cap_amount=Decimal(50000))
        used = replace(novation, cap_used=Decimal("1649.50"))
        assert from_day(capped, used).cap_amount == Decimal("48350.50")
        assert read_novation(used.told) == used


class ClientDesk(Desk):
    """A desk at which a deal gets another client."""

    def show_from(self, day: date) -> Handover:
        with self.world.flow.database.transaction() as connection:
            drawn = draw_handover(
                connection, ref=f"{CRM}:{self.world.deal}", now=NOW, wish=Wish(client_from=day)
            )
            show_handover(connection, drawn=drawn, to="ann", now=NOW)
        return drawn

    def book(self, ref: str, day: date) -> None:
        """Land an hour of Anna's in the time tool, on the project that it has."""
        codes = {
            row["noun"]: row["source_ref"]
            for row in self.world.rows(
                "SELECT noun, source_ref FROM crosswalk WHERE connection_key = 'clock'"
                " AND noun IN ('project', 'task') AND superseded_at IS NULL"
            )
        }
        entry = TimeEntry(
            person_ref=user_refs(self.world.clock)[0],
            project_ref=codes["project"],
            task_ref=codes["task"].partition("/")[2],
            labor_category=None,
            work_date=day,
            zone="Europe/Berlin",
            seconds=3600,
            quantum_seconds=36,
            started_at=None,
            ended_at=None,
            billable=True,
            approval=Approval.APPROVED,
            approval_word="locked",
            approver_ref=None,
            approved_at=None,
            created_at=NOW - timedelta(days=5),
            narrative="work",
        )
        land_as_read(self.world.flow.database, CLOCK, "time_entries", {ref: entry})

    def post_all(self) -> None:
        """Let the books hold every hour that may be there."""
        with self.world.flow.owner.transaction() as connection:
            for row in connection.execute("SELECT entry_id FROM time_entry").fetchall():
                Firm(connection).post(row["entry_id"])

    def judge_all(self) -> dict[date, tuple[str, str, str]]:
        """Judge what waits for it; return by day whose hour it is: client, contract, task in the ERP."""
        database = self.world.flow.database
        with database.transaction() as connection:
            keys = [
                row["neighbor_key"]
                for row in connection.execute(
                    "SELECT DISTINCT neighbor_key FROM rejudge"
                ).fetchall()
            ]
            keys += [
                f"entry:{row['entry_id']}"
                for row in connection.execute(
                    "SELECT entry_id FROM time_entry WHERE verdict_id IS NULL"
                ).fetchall()
            ]
        with database.transaction() as connection:
            judge(connection, clock=FixedClock(NOW), correlation_id="c", neighbor_keys=keys)
        rows = self.world.rows(
            "SELECT v.work_date, c.name, k.contract_code, x.source_ref FROM time_entry t"
            " JOIN verdict v USING (verdict_id) JOIN contract k ON k.contract_id = v.contract_id"
            " JOIN client_version c ON c.client_id = v.client_id AND c.superseded_at IS NULL"
            " LEFT JOIN crosswalk x ON x.our_id = v.contract_line_id AND x.noun = 'erp_task'"
            "  AND x.superseded_at IS NULL"
        )
        return {
            row["work_date"]: (row["name"], row["contract_code"], row["source_ref"]) for row in rows
        }


@pytest.fixture
def desk(database: Dsns, tmp_path: Path) -> Iterator[ClientDesk]:
    with opened_world(database, tmp_path) as world:
        made = ClientDesk(world)
        with world.flow.owner.transaction() as connection:
            connection.execute("UPDATE release SET state = 'superseded'")
            approve_shipped_rules(connection, now=NOW)
        yield made


class TestAnotherClient:
    def test_has_the_contract_from_the_day_on_and_the_hours_since(self, desk: ClientDesk) -> None:
        world = desk.world
        world.win(**CAPPED)
        world.flow.run()
        # Who is on it is known once the project is.
        world.flow.keep_register()
        for ref, day in (("e1", DAY - timedelta(days=1)), ("e2", DAY)):
            desk.book(ref, day)
        before = desk.judge_all()
        assert {found[:2] for found in before.values()} == {("Nordwind AG", "DP-1")}
        desk.post_all()
        land_as_read(world.flow.database, CRM, "companies", {"c2": NEXT})
        world.change(1, client_ref="c2", purchase_order="PO-2", **CAPPED)
        world.flow.run()
        assert world.reasons() >= {"deal.changed_after_provisioning"}
        _, digest = desk.show(world.deal)
        with pytest.raises(UserMistake, match="--client-from DAY"):
            desk.apply(world.deal, digest)

        drawn = desk.show_from(DAY)
        applied = desk.apply(world.deal)
        with pytest.raises(UserMistake, match="ann proposed it and may not approve it"):
            desk.approve(applied, "ann")
        dearer = "UPDATE verdict SET amount = amount * %s WHERE contract_id IS NOT NULL"
        with world.flow.owner.transaction() as connection:
            connection.execute(dearer, (80,))
        with pytest.raises(UserMistake, match="take all of the cap"):
            desk.approve(applied, "bob")
        with world.flow.owner.transaction() as connection:
            connection.execute(dearer, (Decimal(1) / 80,))
        desk.approve(applied, "bob")
        world.flow.run()

        told = {(each.target, each.noun): each.action for each in drawn.writes}
        assert {told[BOOKS, noun] for noun in ("client", "contract", "task")} == {"create"}
        assert told[CLOCK, "project"] == "by_hand"
        assert world.plan["state"] == "active"
        held = world.rows(
            "SELECT k.contract_code, c.name, v.purchase_order, v.value_amount, v.cap_amount, v.starts_on, v.ends_on,"
            " l.starts_on AS since, l.sold_seconds / 3600 AS hours"
            " FROM contract k JOIN contract_version v USING (contract_id)"
            " JOIN client_version c USING (client_id) JOIN contract_line l USING (contract_id)"
            " WHERE v.superseded_at IS NULL AND c.superseded_at IS NULL AND l.superseded_at IS NULL"
            " ORDER BY 1"
        )
        assert [tuple(row.values()) for row in held] == [
            ("DP-1", "Nordwind AG", "PO-1", 150, 150, STARTS_ON, DAY, STARTS_ON, 1),
            ("DP-1/2", "Suedwind SE", "PO-2", 14850, 11850, DAY, ENDS_ON, DAY, 99),
        ]
        for noun in ("client", "contract", "project", "task"):
            assert world.in_books().count(noun) == 2, noun
        # People book on what they booked on.
        assert (world.in_clock().count("projects"), world.assigned()) == (1, 2)
        after = desk.judge_all()
        assert [after[day][:2] for day in sorted(after)] == [
            ("Nordwind AG", "DP-1"),
            ("Suedwind SE", "DP-1/2"),
        ]
        assert len({found[2] for found in after.values()}) == 2
        assert "deal.changed_after_provisioning" not in world.reasons()

        # Asked once more, it is answered as the first time.
        assert desk.apply(world.deal, drawn.digest).state == "active"
        assert world.rows("SELECT count(*) AS n FROM novation") == [{"n": 1}]

        # Whoever joins is on both, and the staffing list goes on naming the first code.
        world.flow.keep_register()
        days = world.rows(
            "SELECT p.project_code, a.starts_on, a.ends_on FROM assignment a JOIN project p USING (project_id)"
            " WHERE a.superseded_at IS NULL GROUP BY 1, 2, 3 ORDER BY 1"
        )
        assert [tuple(row.values()) for row in days] == [
            ("DP-1", STARTS_ON, DAY),
            ("DP-1/2", DAY, ENDS_ON),
        ]
        assert world.plan["state"] == "active"
        with world.flow.database.transaction() as connection:
            staffed = list_assignments(connection, systems=InstalledSystems())
        assert {
            (each.project_code, one.state)
            for each in staffed
            for one in each.standing
            if one.noun == "assignment"
        } == {("DP-1", "CONFIRMED"), ("DP-1/2", "CONFIRMED")}

        # A change order afterwards is of the present client's contract.
        more = (line("Build"), line("Run"))
        terms: dict[str, Any] = {**CAPPED, "lines": more, "amount": Decimal(30000)}
        world.change(2, client_ref="c2", purchase_order="PO-2", **terms)
        drawn, _ = desk.show(world.deal)
        assert (drawn.kind, drawn.changes) == ("change", ("amount", "lines"))
        desk.approve(desk.apply(world.deal), "bob")
        world.flow.run()
        lines = world.rows(
            "SELECT k.contract_code, l.task_name, l.starts_on FROM contract_line l JOIN contract k USING (contract_id)"
            " WHERE l.superseded_at IS NULL ORDER BY 1, 2"
        )
        assert [tuple(row.values()) for row in lines] == [
            ("DP-1", "Build", STARTS_ON),
            ("DP-1/2", "Build", DAY),
            ("DP-1/2", "Run", DAY),
        ]

        # A third client has what is left of the second one's.
        third = replace(NEXT, name="Ostwind KG", vat_number="DE811115368", domain="ostwind.example")
        land_as_read(world.flow.database, CRM, "companies", {"c3": third})
        terms |= {"client_ref": "c3", "purchase_order": "PO-3"}
        world.change(3, **terms)
        world.flow.keep_register()
        desk.show_from(DAY + timedelta(days=7))
        desk.approve(desk.apply(world.deal), "bob")
        world.flow.run()
        values = world.rows(
            "SELECT k.contract_code, v.value_amount, v.cap_amount, v.ends_on FROM contract k JOIN contract_version v"
            " USING (contract_id) WHERE v.superseded_at IS NULL ORDER BY 1"
        )
        assert [tuple(row.values()) for row in values] == [
            ("DP-1", 150, 150, DAY),
            # An hour is cleared on it that the books do not hold yet.
            ("DP-1/2", 0, 150, DAY + timedelta(days=7)),
            ("DP-1/3", 29850, 11700, ENDS_ON),
        ]
        assert desk.judge_all()[DAY][:2] == ("Suedwind SE", "DP-1/2")
        assert world.in_clock().count("projects") == 1

        # Lost, all are closed.
        world.change(4, **{**terms, "is_won": False, "stage": "closedlost"})
        desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()
        states = "SELECT DISTINCT status FROM project_version WHERE superseded_at IS NULL"
        assert world.rows(states) == [{"status": "closed"}]

    def test_is_refused_where_nobody_can_cut_the_contract(self, desk: ClientDesk) -> None:
        world = desk.world
        world.win()
        world.flow.run()
        with pytest.raises(UserMistake, match="has the client in the CRM that it was made for"):
            desk.show_from(DAY)
        land_as_read(world.flow.database, CRM, "companies", {"c2": NEXT})
        world.change(1, client_ref="c2")
        world.flow.keep_register()

        for day, why in (
            (STARTS_ON, "is not within the contract"),
            (ENDS_ON, "is not within the contract"),
            (NOW.date() + timedelta(days=1), "has not come"),
        ):
            with pytest.raises(UserMistake, match=why):
                desk.show_from(day)
        world.change(2, client_ref="c2", name="Data platform II", currency="GBP")
        with pytest.raises(UserMistake, match="differs in more than its client, in currency"):
            desk.show_from(DAY)
        world.change(3, client_ref="c2")
        (own,) = world.rows("SELECT client_id FROM contract")
        desk.release(
            "billing-splits",
            "contract_code,client,percent,takes_rounding,starts_on\n"
            f"DP-1,{own['client_id']},100,yes,{STARTS_ON}",
        )
        with pytest.raises(UserMistake, match="is paid by several clients"):
            desk.show_from(DAY)
        with world.flow.owner.transaction() as connection:
            connection.execute("DELETE FROM billing_split")
        world.refuse("erp.contract")
        desk.show_from(DAY)
        desk.approve(desk.apply(world.deal), "bob")
        world.flow.run()

        # What the ERP refuses is a case; nothing that stands on it is sent, and hours since then wait.
        assert world.plan["state"] == "active"
        assert set(world.plan["plan"]["refused"]) == {"erp.contract"}
        assert (world.in_books().count("client"), world.in_books().count("project")) == (2, 1)
