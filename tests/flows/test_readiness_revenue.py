"""Revenue status and measures from hand-made rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW, Firm
from tests.support.target import FixedClock, OpenBudgets

from tieline.canonical import StatusCommand
from tieline.kernel.errors import OutcomeUnknown, Refused, UserMistake
from tieline.posting import Poster
from tieline.readmodels import MEASURES, derive, list_measures
from tieline.runtime.database import Database
from tieline.runtime.work import Again, AtOnce, Done, Failed
from tieline.sdk import Capabilities, Receipt, Stored, load_manifest
from tieline.services.revenue_commands import deal_writes
from tieline.services.revenue_reporting import (
    REPORT_ACCOUNT,
    REPORT_REVENUE,
    RevenueReporting,
)
from tieline.services.revenue_status import (
    RevenueSum,
    compute,
    list_revenue_status,
    sum_revenue,
)


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

    def test_earns_a_fixed_fee_as_the_firm_says(self, worker_database: Database) -> None:
        firm = found(worker_database, billing_method="fixed_fee", value_amount=Decimal("10000.00"))
        with worker_database.transaction() as connection:
            connection.execute("UPDATE contract_version SET ends_on = '2027-01-01'")

        def earned(recognition: str) -> Decimal | None:
            with worker_database.transaction() as connection:
                connection.execute("DELETE FROM policy_value")
                connection.execute(
                    "INSERT INTO policy_value (release_id, name, value, reason)"
                    " VALUES (%s, 'recognition_of_fixed_fee', %s, 'test')",
                    (firm.release_id, recognition),
                )
            _, status = measure(worker_database)
            assert status.recognition == recognition
            amount: Decimal | None = status.earned_amount
            # What is left of something unknown is unknown.
            assert (
                (status.wip_amount is None) == (status.backlog_amount is None) == (amount is None)
            )
            return amount

        # 2 of 10 sold hours; 306 of 365 days.
        assert earned("hours") == Decimal("2000.00")
        assert earned("straight_line") == Decimal("8383.56")
        # No schedule, and nobody planned the people: nobody can tell.
        assert earned("milestone") is None
        assert earned("cost") is None
        with worker_database.transaction() as connection:
            connection.execute(
                "INSERT INTO assignment (person_id, project_id, labor_category, planned_seconds, starts_on,"
                " recorded_at) VALUES (%s, %s, '', 28800, '2026-10-01', %s)",
                (firm.person_id, firm.last["project_id"], NOW),
            )
        assert earned("cost") == Decimal("2500.00")

    def test_of_a_past_instant_is_what_the_release_of_then_says(
        self, worker_database: Database
    ) -> None:
        found(worker_database, billing_method="fixed_fee", value_amount=Decimal("10000.00"))
        later = NOW + timedelta(days=1)
        with worker_database.transaction() as connection:
            connection.execute("UPDATE contract_version SET ends_on = '2027-01-01'")
            connection.execute("UPDATE release SET state = 'superseded'")
            connection.execute(
                "WITH next AS (INSERT INTO release (title, state, proposed_by, proposed_at, approved_by,"
                " approved_at, reason) VALUES ('second', 'current', 'ada', %(at)s, 'ben', %(at)s, 'even')"
                " RETURNING release_id)"
                " INSERT INTO policy_value (release_id, name, value, reason)"
                " SELECT release_id, 'recognition_of_fixed_fee', 'straight_line', 'test' FROM next",
                {"at": later},
            )

            told = [
                sum_revenue(connection, at=at, by="contract")[0].recognition for at in (NOW, later)
            ]

        assert told == [("hours",), ("straight_line",)]

    def test_sums_any_instant_with_margin_and_the_erps_figures(
        self, worker_database: Database
    ) -> None:
        firm = found(worker_database, value_amount=Decimal(1500))
        bill(worker_database, firm, Decimal("150.00"), "e1")
        with worker_database.transaction() as connection:
            connection.execute(
                "UPDATE invoice_record SET recorded_at = %s", (NOW + timedelta(days=1),)
            )

        def total(at: Any, by: str = "client") -> RevenueSum:
            with worker_database.transaction() as connection:
                (found,) = sum_revenue(connection, at=at, by=by)
            return found

        before, after = total(NOW), total(NOW + timedelta(days=1), by="entity")

        assert (before.name, before.projects, before.currency) == ("Nordwind AG", 1, "EUR")
        assert (before.billed_amount, before.wip_amount) == (Decimal(0), Decimal("300.00"))
        assert after.name == "DE"
        assert (after.billed_amount, after.wip_amount) == (Decimal("150.00"), Decimal("150.00"))
        assert before.earned_amount == after.earned_amount == Decimal("300.00")
        # An hour costs 60.
        assert (before.cost_amount, before.margin_amount) == (Decimal(120), Decimal("180.00"))
        assert after.erp_seconds == after.ledger_seconds == 7200
        assert (after.rounding_amount, after.unexplained_amount) == (Decimal(0), Decimal(0))
        # Nobody told what is funded.
        assert after.funded_amount is None
        with worker_database.transaction() as connection:
            connection.execute("UPDATE employment SET cost_rate = NULL")
        assert total(NOW).margin_amount is None
        with pytest.raises(UserMistake, match="not by weather"):
            total(NOW, by="weather")

    def test_knows_what_is_left_of_a_contract_of_several_projects_where_all_are_summed(
        self, worker_database: Database
    ) -> None:
        firm = found(worker_database, value_amount=Decimal(1500))
        contract_id = firm.last["contract_id"]
        add_project(worker_database, firm, "P2")
        with worker_database.transaction() as connection:
            connection.execute("UPDATE project SET contract_id = %s", (contract_id,))

            by_project = sum_revenue(connection, at=NOW, by="project")
            (by_contract,) = sum_revenue(connection, at=NOW, by="contract")

        assert [each.backlog_amount for each in by_project] == [None, None]
        assert (by_contract.projects, by_contract.earned_amount) == (2, Decimal("450.00"))
        assert by_contract.contract_amount == Decimal(1500)
        assert by_contract.backlog_amount == Decimal("1050.00")

    def test_earns_a_fee_by_the_cost_of_all_projects_of_its_contract(
        self, worker_database: Database
    ) -> None:
        firm = found(worker_database, billing_method="fixed_fee", value_amount=Decimal("10000.00"))
        first = firm.last
        add_project(worker_database, firm, "P2", billing_method="fixed_fee")
        with worker_database.transaction() as connection:
            connection.execute("UPDATE project SET contract_id = %s", (first["contract_id"],))
            connection.execute(
                "INSERT INTO policy_value (release_id, name, value, reason)"
                " VALUES (%s, 'recognition_of_fixed_fee', 'cost', 'test')",
                (firm.release_id,),
            )
            for project_id in (first["project_id"], firm.last["project_id"]):
                connection.execute(
                    "INSERT INTO assignment (person_id, project_id, labor_category, planned_seconds,"
                    " starts_on, recorded_at) VALUES (%s, %s, '', 36000, '2026-10-01', %s)",
                    (firm.person_id, project_id, NOW),
                )

            sums = sum_revenue(connection, at=NOW, by="project")

        # Two hours and one of twenty planned, all at one cost.
        assert [each.earned_amount for each in sums] == [Decimal("1000.00"), Decimal("500.00")]

    def test_converts_what_hours_cost_by_the_day_worked(self, worker_database: Database) -> None:
        firm = found(worker_database)
        add_project(worker_database, firm, "P2", entity_code="UK")

        def of_pounds() -> RevenueSum:
            with worker_database.transaction() as connection:
                return next(
                    each
                    for each in sum_revenue(connection, at=NOW, by="entity")
                    if each.currency == "GBP"
                )

        # The hour of somebody from Germany costs 60 EUR.
        assert of_pounds().margin_amount is None
        with worker_database.transaction() as connection:
            add_rate(connection, "EUR", "GBP", "0.87")
        known = of_pounds()

        assert (known.cost_amount, known.margin_amount) == (Decimal("52.20"), Decimal("97.80"))
        assert known.cost_rates == ("1 EUR = 0.87 GBP from 2026-10-01, ECB",)

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
            (write,) = deal_writes(connection, correlation_id="c")
            (again,) = deal_writes(connection, correlation_id="c")

        assert write.request == again.request
        assert write.request.source.source_ref == "deal-7"
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


@dataclass(slots=True)
class Crm:
    """Keep what it is told; lose an answer, or refuse, when told to."""

    told: list[Mapping[str, str]] = field(default_factory=list)
    answers_lost: int = 0
    is_refusing: bool = False

    def write(self, *, command: StatusCommand) -> Receipt:
        if self.is_refusing:
            raise Refused("the deal is locked", reason="vendor.400")
        self.told.append(command.values)
        if self.answers_lost:
            self.answers_lost -= 1
            raise OutcomeUnknown("the answer was lost")
        return Receipt(target_code=command.record_code)

    def probe(self, *, command: StatusCommand) -> list[Stored]:
        if command.values not in self.told:
            return []
        return [Stored(target_code=command.record_code, content=command.content())]

    def get(self, *, connection_key: str) -> Crm:
        assert connection_key == "sales"
        return self

    def capabilities(self, *, connection_key: str) -> Capabilities:
        assert connection_key == "sales"
        return load_manifest("tieline.connectors.hubspot")


def begin(database: Database, **terms: Any) -> tuple[Crm, RevenueReporting, str]:
    firm = found(database, **terms)
    project_id = firm.last["project_id"]
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state,"
            " entity_code, contract_id, project_id, plan, planned_at, known_at, correlation_id)"
            " VALUES ('sales', 0, 'deal-7', 'active', 'DE', %s, %s, %s, %s, %s, 'c')",
            (firm.last["contract_id"], project_id, Jsonb({}), NOW, NOW),
        )
    crm = Crm()
    return crm, reporting_to(crm, database), str(project_id)


def reporting_to(
    crm: Crm, database: Database, *, reporting_currency: str | None = None
) -> RevenueReporting:
    clock = FixedClock(NOW)
    return RevenueReporting(
        database=database,
        poster=Poster(
            database=database,
            connectors=crm,
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=clock,
        ),
        clock=clock,
        reporting_currency=reporting_currency,
    )


class TestReporting:
    def test_tells_what_changed_once(self, worker_database: Database) -> None:
        crm, reporting, project = begin(worker_database)

        reporting.keep_revenue()
        first = reporting.report(AtOnce(), project)
        reporting.keep_revenue()
        second = reporting.report(AtOnce(), project)

        assert (first, second) == (Done(), Done())
        assert [told["revenue_wip"] for told in crm.told] == ["300.00"]
        with worker_database.transaction() as connection:
            asked = connection.execute(
                "SELECT subject FROM work_item WHERE kind = %s", (REPORT_REVENUE,)
            ).fetchall()
        assert asked == [{"subject": project}]

    def test_empties_what_nobody_can_tell(self, worker_database: Database) -> None:
        crm, reporting, project = begin(worker_database, value_amount=None)
        with worker_database.transaction() as connection:
            connection.execute("UPDATE contract_line SET sold_seconds = NULL")

        reporting.keep_revenue()
        reporting.report(AtOnce(), project)

        (told,) = crm.told
        assert (told["revenue_wip"], told["revenue_backlog"]) == ("300.00", "")

    def test_asks_after_a_lost_answer_and_does_not_tell_again(
        self, worker_database: Database
    ) -> None:
        crm, reporting, project = begin(worker_database)
        with worker_database.transaction() as connection:
            connection.execute("UPDATE connection SET settle_seconds = 0")
        crm.answers_lost = 1
        reporting.keep_revenue()

        outcome = reporting.report(AtOnce(), project)
        began = time.monotonic()
        while isinstance(outcome, Again) and time.monotonic() - began < 15:
            time.sleep(0.2)
            outcome = reporting.report(AtOnce(), project)

        assert outcome == Done()
        assert len(crm.told) == 1

    def test_does_not_repeat_what_was_refused(self, worker_database: Database) -> None:
        crm, reporting, project = begin(worker_database)
        crm.is_refusing = True
        reporting.keep_revenue()

        refused = reporting.report(AtOnce(), project)
        crm.is_refusing = False
        again = reporting.report(AtOnce(), project)

        assert refused == Failed("the deal is locked")
        assert again == Done()
        assert crm.told == []


def begin_account(
    database: Database, *, reporting_currency: str | None = None
) -> tuple[Firm, Crm, RevenueReporting]:
    """Know the client in the CRM: one project with two hours, each of 150 EUR, of 1,500 sold."""
    firm = found(database, value_amount=Decimal(1500))
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
            " VALUES ('sales', 'client', '501', %s, 'test', %s)",
            (firm.client_id, NOW),
        )
        connection.execute("UPDATE connection SET settle_seconds = 0")
    crm = Crm()
    return firm, crm, reporting_to(crm, database, reporting_currency=reporting_currency)


def add_project(database: Database, firm: Firm, code: str, **terms: Any) -> None:
    """Add a project of the same client with one hour of 150 and 1,500 sold."""
    with database.transaction() as connection:
        firm.connection = connection
        firm.project(code, value_amount=Decimal(1500), **terms)
        firm.hour(f"of {code}", project=firm.last)


def add_rate(connection: Connection[Any], one: str, other: str, factor: str) -> None:
    """Load a rate of exchange that holds from October on."""
    connection.execute(
        "WITH load AS (INSERT INTO reference_load (noun, file_name, loaded_by, reason, rows, recorded_at)"
        " VALUES ('fx_rate', 'r.csv', 'ada', 'test', 1, %(now)s) RETURNING load_id)"
        " INSERT INTO fx_rate (from_currency, to_currency, factor, source, starts_on, recorded_at,"
        " load_id, line_number)"
        " SELECT %(one)s, %(other)s, %(factor)s, 'ECB', '2026-10-01', %(now)s, load_id, 1 FROM load",
        {"now": NOW, "one": one, "other": other, "factor": factor},
    )


def told(reporting: RevenueReporting, firm: Firm) -> Any:
    reporting.keep_revenue()
    return reporting.report_account(AtOnce(), str(firm.client_id))


class TestAccounts:
    def test_are_told_what_all_their_projects_come_to_once(self, worker_database: Database) -> None:
        firm, crm, reporting = begin_account(worker_database)
        add_project(worker_database, firm, "P2")

        first = told(reporting, firm)
        again = told(reporting, firm)

        assert (first, again) == (Done(), Done())
        assert crm.told == [
            {
                "revenue_wip": "450.00",
                "revenue_billed": "0",
                "revenue_backlog": "2550.00",
                "revenue_currency": "EUR",
                "revenue_rates": "",
                "revenue_as_of": "2026-11-03T09:00:00Z",
            }
        ]
        with worker_database.transaction() as connection:
            asked = connection.execute(
                "SELECT subject FROM work_item WHERE kind = %s", (REPORT_ACCOUNT,)
            ).fetchall()
        assert asked == [{"subject": str(firm.client_id)}]

    def test_of_several_currencies_are_told_in_the_one_the_firm_reports_in(
        self, worker_database: Database
    ) -> None:
        firm, crm, reporting = begin_account(worker_database, reporting_currency="EUR")
        add_project(worker_database, firm, "P2", entity_code="UK")
        with worker_database.transaction() as connection:
            add_rate(connection, "GBP", "EUR", "1.15")

        told(reporting, firm)

        (values,) = crm.told
        # 300 EUR and 150 GBP; 1,200 and 1,350 are left.
        assert values["revenue_wip"] == "472.50"
        assert values["revenue_backlog"] == "2752.50"
        assert values["revenue_currency"] == "EUR"
        assert values["revenue_rates"] == "1 GBP = 1.15 EUR from 2026-10-01, ECB"

    @pytest.mark.parametrize("reporting_currency", [None, "EUR"])
    def test_are_told_nothing_where_nobody_can_add(
        self, worker_database: Database, reporting_currency: str | None
    ) -> None:
        firm, crm, reporting = begin_account(worker_database, reporting_currency=reporting_currency)
        add_project(worker_database, firm, "P2", entity_code="UK")

        told(reporting, firm)

        (values,) = crm.told
        amounts = ("revenue_wip", "revenue_billed", "revenue_backlog", "revenue_currency")
        assert [values[name] for name in amounts] == ["", "", "", ""]

    def test_are_asked_about_after_a_lost_answer_before_anything_newer_is_told(
        self, worker_database: Database
    ) -> None:
        firm, crm, reporting = begin_account(worker_database)
        crm.answers_lost = 1
        told(reporting, firm)
        add_project(worker_database, firm, "P2")
        later = replace(reporting, clock=FixedClock(NOW + timedelta(hours=1)))

        outcome = told(later, firm)
        began = time.monotonic()
        while isinstance(outcome, Again) and time.monotonic() - began < 15:
            time.sleep(0.2)
            outcome = told(later, firm)

        assert outcome == Done()
        assert [values["revenue_wip"] for values in crm.told] == ["300.00", "450.00"]

    def test_are_told_no_oftener_than_once_in_five_minutes(self, worker_database: Database) -> None:
        firm, crm, reporting = begin_account(worker_database)

        for minutes in (0, 4, 6):
            add_project(worker_database, firm, f"P{minutes + 2}")
            told(replace(reporting, clock=FixedClock(NOW + timedelta(minutes=minutes))), firm)

        assert [values["revenue_wip"] for values in crm.told] == ["450.00", "750.00"]

    def test_are_left_alone_while_the_crm_is_only_observed(self, worker_database: Database) -> None:
        firm, crm, reporting = begin_account(worker_database)
        with worker_database.transaction() as connection:
            connection.execute(
                "UPDATE connection SET mode = 'observe' WHERE connection_key = 'sales'"
            )

        told(reporting, firm)

        assert crm.told == []
