"""What a schedule says is billed when its day has come, once, also when an answer is lost on the way."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.test_readiness import Scene
from tests.rooms.casework.hand_made_firm import NOW, Firm

from tieline.runtime.database import Database
from tieline.services.invoice_readiness import (
    Drafted,
    NotDrafted,
    Readiness,
    compute_readiness,
    draft_invoice,
    list_readiness,
    release_contract,
)


@pytest.fixture
def scene(worker_database: Database) -> Scene:
    """Give a firm, an ERP and short words for what a test does with them."""
    return Scene(worker_database)


def _schedule(firm: Firm, item: str, **told: Any) -> None:
    row = {
        "contract_code": f"C-{firm.last['code']}",
        "item": item,
        "kind": "fee",
        "due_on": date(2026, 10, 20),
        "amount": Decimal("1000.00"),
        "currency": "EUR",
        "starts_on": date(2026, 1, 1),
        "recorded_at": NOW,
        "line_number": 1,
        **told,
    }
    load = firm.connection.execute(
        "INSERT INTO reference_load (noun, file_name, loaded_by, approved_by, reason, rows, recorded_at)"
        " VALUES ('billing-schedules', 'x.csv', 'ada', 'ben', 'agreed', 1, %s) RETURNING load_id",
        (NOW,),
    ).fetchone()
    assert load is not None
    row["load_id"] = load["load_id"]
    names = ", ".join(row)
    marks = ", ".join(["%s"] * len(row))
    firm.connection.execute(
        f"INSERT INTO billing_schedule ({names}) VALUES ({marks})",
        list(row.values()),
    )


def _november(scene: Scene) -> Readiness:
    with scene.database.transaction() as connection:
        compute_readiness(
            connection, connectors=scene.connectors, outlook=None, now=NOW + timedelta(days=30)
        )
        (found,) = list_readiness(connection, period_code="2026-11", entity_code="DE")
    return found


def _invoice_november(scene: Scene) -> Drafted | NotDrafted:
    asked = {
        "contract_id": scene.project["contract_id"],
        "period_id": scene.periods["DE", "2026-11"],
    }
    later = NOW + timedelta(days=30)
    release_contract(scene.database, **asked, by="ada", carry_reason="complete enough", now=later)
    return draft_invoice(
        scene.database, scene.connectors, **asked, now=later, correlation_id="c-10"
    )


class TestMilestonesAndFees:
    def test_are_billed_once_when_they_are_due_and_confirmed(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            firm.connection.execute("UPDATE contract_version SET starts_on = '2026-10-16'")
            _schedule(firm, "Concept", kind="milestone", confirmed_on=date(2026, 10, 25))
            _schedule(firm, "Go-live", kind="milestone", amount=Decimal("5000.00"))
            _schedule(
                firm,
                "Support October",
                amount=Decimal("310.00"),
                covers_from=date(2026, 10, 1),
                covers_until=date(2026, 11, 1),
                is_prorated=True,
            )
            _schedule(firm, "Final", due_on=date(2026, 12, 1), amount=Decimal("9.00"))

        scene.arrange(build, billing_method="milestone")

        with scene.database.transaction() as connection:
            compute_readiness(connection, connectors=scene.connectors, outlook=None, now=NOW)
            (october,) = list_readiness(connection, period_code="2026-10", entity_code="DE")
        scene.release("the client has not confirmed the go-live")
        scene.erp.faults = ["answer_lost"]
        lost = scene.draft()
        scene.settle()
        drafted = scene.draft()

        # 16 of the 31 days of October are in the contract.
        assert (october.state, october.expected_amount) == ("blocked", Decimal("1160.00"))
        (blocker,) = [b for b in october.blockers if b["weight"] == "block"]
        assert (blocker["code"], blocker["amount"]) == ("readiness.milestones", "5000.00")
        assert isinstance(lost, NotDrafted)
        assert isinstance(drafted, Drafted)
        assert drafted.untaxed_amount == drafted.expected_amount == Decimal("1160.00")
        assert len(scene.erp.invoices) == 1

        nothing = _november(scene)
        with scene.database.transaction() as connection:
            connection.execute(
                "UPDATE billing_schedule SET confirmed_on = '2026-11-02' WHERE item = 'Go-live'"
            )
        november = _november(scene)
        second = _invoice_november(scene)

        assert (nothing.state, nothing.expected_amount) == ("blocked", Decimal(0))
        assert (november.state, november.expected_amount) == ("ready", Decimal("5000.00"))
        assert isinstance(second, Drafted)
        assert second.untaxed_amount == Decimal("5000.00")
        assert scene.one("SELECT count(*) FROM billed_item") == 3
        assert _november(scene).state == "invoiced"
        with (
            scene.database.transaction() as connection,
            pytest.raises(Exception, match="billed_item_pkey"),
        ):
            connection.execute("INSERT INTO billed_item SELECT * FROM billed_item")

    def test_are_not_billed_beside_the_whole_fee(self, scene: Scene) -> None:
        scene.arrange(
            lambda firm: firm.hour("e1", project=firm.last),
            billing_method="fixed_fee",
            value_amount=Decimal("12000.00"),
        )
        scene.erp.fees["sale-P1"] = Decimal("12000.00")
        scene.compute()
        scene.release()
        assert isinstance(scene.draft(), Drafted)

        def tell(firm: Firm) -> None:
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            _schedule(firm, "Concept")

        scene.arrange_more(tell)

        found = _november(scene)
        assert found.state == "blocked"
        assert "readiness.billed_beside_schedule" in scene.codes(found)

    def test_wait_for_a_schedule(self, scene: Scene) -> None:
        scene.arrange(
            lambda firm: firm.judge(firm.entry("e1"), "held", "time.late", project=firm.last),
            billing_method="subscription",
        )

        found = scene.compute()

        assert found.state == "blocked"
        assert "readiness.schedule_missing" in scene.codes(found)


class TestRetainers:
    def test_bill_hours_above_what_is_included_and_later_ones_alone(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            _schedule(
                firm,
                "October",
                kind="advance",
                covers_from=date(2026, 10, 1),
                covers_until=date(2026, 11, 1),
                included_hours=Decimal("1.5"),
            )
            firm.hour("e1", project=firm.last)
            firm.hour("e2", project=firm.last, work_date=date(2026, 10, 8))

        scene.arrange(build, billing_method="retainer")
        with scene.database.transaction() as connection:
            compute_readiness(connection, connectors=scene.connectors, outlook=None, now=NOW)
            (october,) = list_readiness(connection, period_code="2026-10", entity_code="DE")
        scene.release()
        drafted = scene.draft()
        scene.arrange_more(lambda firm: firm.hour("late", project=scene.project, seconds=1200))
        november = _november(scene)

        # Half an hour above at 150 an hour, and a third of one that came later.
        assert (october.state, october.expected_amount) == ("ready", Decimal("1075.00"))
        assert isinstance(drafted, Drafted)
        assert [line.description for line in scene.erp.invoices[0].lines] == [
            "October",
            "October: 0:30 h above what is included",
        ]
        assert november.expected_amount == Decimal("50.00")
