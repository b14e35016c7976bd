"""Revenue status and measures from hand-made rows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW, Firm

from tieline.readmodels import MEASURES, derive, list_measures
from tieline.runtime.database import Database
from tieline.services.revenue_status import compute, list_revenue_status, status_commands


def found(database: Database, **terms: Any) -> Firm:
    with database.transaction() as connection:
        firm = Firm(connection).found()
        firm.project("P1", **terms)
        firm.hour("e1", project=firm.last)
        firm.hour("e2", project=firm.last)
        connection.execute(
            "UPDATE contract_line SET sold_seconds = 36000 WHERE contract_id = %s",
            (firm.last["contract_id"],),
        )
    return firm


def bill(database: Database, firm: Firm, amount: Decimal, *sources: str) -> None:
    with database.transaction() as connection:
        key = connection.execute(
            "INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref,"
            " target_connection, noun, part, effect_no, kind, entity_code, work_class, correlation_id,"
            " planned_at) VALUES (gen_random_uuid(), 'tieline', 0, 'contract_period', 'x', 'books',"
            " 'invoice', '', 1, 'write', 'DE', 1, 'c', %s) RETURNING business_key",
            (NOW,),
        ).fetchone()
        assert key is not None
        invoice = connection.execute(
            "INSERT INTO invoice_record (contract_id, period_id, project_id, entity_code, business_key,"
            " target_connection, target_code, number, state, currency, untaxed_amount, total_amount,"
            " expected_amount, ledger_amount, recorded_at, correlation_id) VALUES (%s, %s, %s, 'DE', %s,"
            " 'books', '1', '1', 'draft', 'EUR', %s, %s, %s, %s, %s, 'c') RETURNING invoice_id",
            (
                firm.last["contract_id"],
                firm.periods["DE", "2026-10"],
                firm.last["project_id"],
                key["business_key"],
                amount,
                amount,
                amount,
                amount,
                NOW,
            ),
        ).fetchone()
        assert invoice is not None
        connection.execute(
            "INSERT INTO invoice_ledger_line SELECT l.business_key, %s FROM ledger_line l"
            " JOIN time_entry t USING (entry_id) WHERE t.source_ref = ANY (%s)",
            (invoice["invoice_id"], list(sources)),
        )


def measure(database: Database, *, now: Any = NOW) -> Any:
    with database.transaction() as connection:
        changed = compute(connection, now=now)
        (status,) = list_revenue_status(connection)
    return changed, status


class TestRevenueStatus:
    def test_adds_up_for_hours(self, worker_database: Database) -> None:
        firm = found(worker_database, value_amount=Decimal(1500))
        bill(worker_database, firm, Decimal("150.00"), "e1")

        _, status = measure(worker_database)

        assert status.earned_amount == Decimal("300.00")
        assert status.billed_amount == Decimal("150.00")
        assert status.wip_amount == Decimal("150.00")
        assert status.backlog_amount == Decimal("1200.00")
        assert status.posted_seconds == 7200
        assert status.as_of == NOW

    def test_earns_a_fixed_fee_by_its_sold_hours(self, worker_database: Database) -> None:
        firm = found(worker_database, billing_method="fixed_fee", value_amount=Decimal("10000.00"))
        bill(worker_database, firm, Decimal("10000.00"))

        _, status = measure(worker_database)

        assert status.earned_amount == Decimal("2000.00")
        assert (status.wip_amount, status.deferred_amount) == (0, Decimal("8000.00"))
        assert status.backlog_amount == Decimal("8000.00")

    def test_keeps_the_instant_of_change_when_nothing_changed(
        self, worker_database: Database
    ) -> None:
        firm = found(worker_database)
        measure(worker_database)
        later = NOW + timedelta(hours=1)

        changed, status = measure(worker_database, now=later)
        bill(worker_database, firm, Decimal("150.00"), "e1")
        changed_now, moved = measure(worker_database, now=later + timedelta(hours=1))

        assert (changed, status.changed_at, status.as_of) == (0, NOW, later)
        assert (changed_now, moved.changed_at) == (1, later + timedelta(hours=1))

    def test_tells_the_crm_each_change_once(self, worker_database: Database) -> None:
        firm = found(worker_database)
        with worker_database.transaction() as connection:
            connection.execute(
                "INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state,"
                " entity_code, contract_id, project_id, plan, planned_at, known_at, correlation_id)"
                " VALUES ('sales', 0, 'deal-7', 'active', 'DE', %s, %s, %s, %s, %s, 'c')",
                (firm.last["contract_id"], firm.last["project_id"], Jsonb({}), NOW, NOW),
            )
        measure(worker_database)

        with worker_database.transaction() as connection:
            (write,) = status_commands(connection, correlation_id="c")
            (again,) = status_commands(connection, correlation_id="c")

        assert write.request == again.request
        assert write.record_code == "deal-7"
        assert write.values == {
            "revenue_wip": "300.00",
            "revenue_billed": "0",
            "revenue_backlog": "1200.00",
            "revenue_as_of": "2026-11-03T09:00:00Z",
        }
        assert write.build(firm.last["project_id"]).noun == "status"


class TestMeasures:
    def test_says_what_was_measured_and_leaves_out_the_rest(
        self, worker_database: Database
    ) -> None:
        found(worker_database)
        with worker_database.transaction() as connection:
            for hours in (2, 4, 6):
                connection.execute(
                    "INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state,"
                    " entity_code, plan, won_at, planned_at, active_at, known_at, correlation_id)"
                    " VALUES ('sales', 0, %s, 'active', 'DE', '{}', %s, %s, %s, %s, 'c')",
                    (f"d{hours}", NOW, NOW, NOW + timedelta(hours=hours), NOW),
                )
            derive(connection, now=NOW)
            values = {
                (each.measure, each.variant): each.value for each in list_measures(connection)
            }

        assert values["setup_time", "median"] == 4
        assert values["setup_time", "p90"] == Decimal("5.6")
        assert values["first_pass_rate", "all"] == 1
        assert values["correction_rate", "all"] == 0
        assert values["cut_off_hit_rate", "all"] == 1
        assert values["reversal_rate", "all"] == 0
        assert ("invoice_time", "median") not in values
        assert {name for name, _ in values} <= {each.name for each in MEASURES}
