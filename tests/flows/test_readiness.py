"""From posted hours to a drafted invoice that agrees to the cent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from tests.flows.readiness_erp import Erp, OneErp
from tests.rooms.casework.hand_made_firm import NOW, Firm

from tieline.casework import list_cases
from tieline.governance import open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.invoice_readiness import (
    Drafted,
    NotDrafted,
    Readiness,
    compute_readiness,
    draft_invoice,
    list_readiness,
    release_contract,
    withdraw_release,
)
from tieline.services.readiness_checks import CHECKS, check_invoices

OCTOBER_7 = date(2026, 10, 7)


@pytest.fixture
def firm_database(database: Dsns, worker_database: Database) -> Database:
    """Found a firm and commit it."""
    return worker_database


@pytest.fixture
def scene(firm_database: Database) -> Scene:
    """Give a firm, an ERP and short words for what a test does with them."""
    return Scene(firm_database)


class Scene:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.erp = Erp()
        self.connectors = OneErp(self.erp)
        self.project: dict[str, Any] = {}
        self.periods: dict[tuple[str, str], UUID] = {}

    def arrange(self, build: Callable[[Firm], Any], **terms: Any) -> None:
        with self.database.transaction() as connection:
            firm = Firm(connection).found()
            self.firm = firm
            self.project = firm.project("P1", **terms)
            build(firm)
            self.periods = firm.periods
            self.erp.take_over(connection)

    def arrange_more(self, build: Callable[[Firm], Any]) -> None:
        """Let something happen later."""
        with self.database.transaction() as connection:
            self.firm.connection = connection
            build(self.firm)

    def compute(self, *, now: Any = NOW) -> Readiness:
        with self.database.transaction() as connection:
            compute_readiness(connection, connectors=self.connectors, outlook=None, now=now)
            found = {each.contract_id: each for each in list_readiness(connection)}
        return found[self.project["contract_id"]]

    @property
    def period_id(self) -> UUID:
        return self.periods[self.project["entity_code"], "2026-10"]

    def release(self, reason: str | None = None) -> Any:
        return release_contract(
            self.database,
            contract_id=self.project["contract_id"],
            period_id=self.period_id,
            by="ada",
            carry_reason=reason,
            now=NOW,
        )

    def withdraw(self) -> None:
        with self.database.transaction() as connection:
            withdraw_release(
                connection,
                contract_id=self.project["contract_id"],
                by="ada",
                reason="an hour came late",
                now=NOW,
            )

    def draft(self) -> Drafted | NotDrafted:
        return draft_invoice(
            self.database,
            self.connectors,
            contract_id=self.project["contract_id"],
            period_id=self.period_id,
            now=NOW,
            correlation_id="c-9",
        )

    def one(self, statement: Any, *values: Any) -> Any:
        with self.database.transaction() as connection:
            row = connection.execute(statement, values).fetchone()
        assert row is not None
        return next(iter(row.values()))

    def settle(self) -> None:
        with self.database.transaction() as connection:
            connection.execute("UPDATE effect SET due_at = NULL WHERE noun = 'invoice'")

    def codes(self, readiness: Readiness) -> set[str]:
        return {blocker["code"] for blocker in readiness.blockers}


class _Ledger:
    """An ERP whose connector makes no invoices."""


class TestATargetThatMakesNoInvoices:
    def test_blocks_its_contracts_and_prices_them_from_the_ledger(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        ours = scene.compute().ledger_amount
        scene.connectors = OneErp(_Ledger())  # type: ignore[arg-type]

        found = scene.compute()

        assert found.state == "blocked"
        assert "readiness.target_makes_no_invoices" in scene.codes(found)
        assert found.expected_amount == found.ledger_amount == ours > 0

    def test_is_not_said_of_one_that_is_not_connected(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        with scene.database.transaction() as connection:
            connection.execute("UPDATE legal_entity SET erp_connection_key = 'none_yet'")

        codes = scene.codes(scene.compute())

        assert "readiness.erp_unavailable" in codes
        assert "readiness.target_makes_no_invoices" not in codes


class TestStates:
    def test_is_ready_when_every_hour_is_in_the_erp(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))

        found = scene.compute()

        assert found.state == "ready"
        assert found.expected_amount == Decimal("150.00")
        assert found.seconds == 3600

    def test_is_not_due_while_the_period_runs(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))

        assert scene.compute(now=NOW - timedelta(days=10)).state == "not_due"

    def test_is_not_due_without_anything_to_bill(self, scene: Scene) -> None:
        scene.arrange(lambda firm: None)

        assert scene.compute().state == "not_due"

    def test_is_blocked_by_held_hours_and_names_their_worth(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            firm.judge(firm.entry("e2"), "held", "time.day_exceeded", project=firm.last)

        scene.arrange(build)

        found = scene.compute()

        assert found.state == "blocked"
        (blocker,) = [each for each in found.blockers if each["weight"] == "block"]
        assert blocker["code"] == "readiness.hours_held"
        assert (blocker["amount"], blocker["seconds"]) == ("150.00", 3600)
        assert blocker["owner_queue"] == "delivery"
        assert blocker["deadline_at"] == "2026-11-05T00:00:00+00:00"

    def test_is_at_risk_while_hours_are_on_their_way(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            entry = firm.entry("e1")
            firm.judge(entry, "cleared", project=firm.last)
            firm.post(entry, until="UNKNOWN")

        scene.arrange(build)

        found = scene.compute()

        assert found.state == "at_risk"
        assert scene.codes(found) >= {"readiness.hours_waiting", "readiness.writes_unconfirmed"}

    def test_says_what_was_not_checked(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))

        found = scene.compute()

        undecided = {
            check.code
            for check in CHECKS
            if not check.is_decidable and check.applies_when.lower() == "true"
        }
        assert {"readiness.expenses", "readiness.client_sign_off"} <= undecided
        assert undecided <= {each["code"] for each in found.not_checked}
        # Each thing that nobody tells of is named once, and what the contract is not about is not named.
        assert found.lacking.count("expenses") == 1
        assert {"supplier bills", "client sign-off", "funding", "guidelines"} <= set(found.lacking)
        assert not {"disputes", "forecast", "bookings between companies"} & set(found.lacking)
        assert all(each["message"] for each in found.not_checked)
        assert found.checks_passed + len(found.blockers) + len(found.not_checked) == len(CHECKS)


class TestChecks:
    @pytest.mark.parametrize(
        ("terms", "code"),
        [
            ({"billing_method": "milestones"}, "readiness.billing_method_unsupported"),
            ({"currency": "USD"}, "readiness.currency_not_companys"),
            ({"purchase_order": None}, "readiness.purchase_order_missing"),
            (
                {"billing_method": "capped_time_and_materials", "cap_amount": Decimal(100)},
                "readiness.cap_exceeded",
            ),
            ({"billing_method": "capped_time_and_materials"}, "readiness.cap_missing"),
            ({"billing_method": "fixed_fee"}, "readiness.fixed_value_missing"),
            ({"rate": Decimal(0)}, "readiness.rate_missing"),
        ],
    )
    def test_terms_that_cannot_be_billed(
        self, scene: Scene, terms: dict[str, Any], code: str
    ) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last), **terms)

        assert code in scene.codes(scene.compute())

    @pytest.mark.parametrize(
        ("statement", "code"),
        [
            ("UPDATE contract_version SET is_active = false", "readiness.contract_inactive"),
            ("UPDATE client_version SET is_active = false", "readiness.client_inactive"),
            ("UPDATE client_version SET vat_number = NULL", "readiness.client_vat_missing"),
            ("UPDATE client_version SET street = NULL", "readiness.client_address_missing"),
            ("UPDATE project_version SET status = 'provisioning'", "readiness.project_not_active"),
            ("DELETE FROM crosswalk WHERE noun = 'project'", "readiness.erp_project_missing"),
            ("DELETE FROM crosswalk WHERE noun = 'erp_task'", "readiness.erp_task_missing"),
            ("UPDATE contract_line SET rate_amount = 160", "readiness.rate_changed"),
            ("UPDATE contract_line SET currency = 'USD'", "readiness.line_currency_differs"),
            ("UPDATE connection SET paused = true", "readiness.erp_unavailable"),
            ("UPDATE connection SET mode = 'observe'", "readiness.erp_unavailable"),
        ],
    )
    def test_facts_that_changed(self, scene: Scene, statement: Any, code: str) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        assert scene.compute().state == "ready"
        with scene.database.transaction() as connection:
            connection.execute(statement)

        found = scene.compute()

        assert code in scene.codes(found)
        assert found.state == "blocked"

    def test_hours_not_approved(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            firm.entry("e2", project_ref="tool-1", approval="not_approved")
            firm.connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                " VALUES ('clock', 'project', 'tool-1', %s, 'test', %s)",
                (firm.last["project_id"], NOW),
            )

        scene.arrange(build)

        assert "readiness.hours_not_approved" in scene.codes(scene.compute())

    def test_late_hours_of_an_earlier_period(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            september = firm.period("DE", "2026-09", date(2026, 9, 1), date(2026, 10, 1))
            entry = firm.entry("late", work_date=date(2026, 9, 30))
            verdict = firm.judge(
                entry, "held", "time.late", project=firm.last, work_date=date(2026, 9, 30)
            )
            firm.connection.execute(
                "UPDATE verdict SET period_id = %s WHERE verdict_id = %s", (september, verdict)
            )

        scene.arrange(build)
        with scene.database.transaction() as connection:
            compute_readiness(connection, connectors=scene.connectors, outlook=None, now=NOW)
            (october,) = list_readiness(connection, period_code="2026-10", entity_code="DE")

        assert "readiness.late_hours_open" in scene.codes(october)

    def test_a_deleted_hour_that_still_stands_is_not_billed(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        with scene.database.transaction() as connection:
            connection.execute("UPDATE time_entry_version SET is_deleted = true")

        found = scene.compute()

        assert found.state == "blocked"
        (blocker,) = [b for b in found.blockers if b["code"] == "readiness.hours_leaving"]
        assert (blocker["seconds"], blocker["amount"]) == (3600, "150.00")

    def test_a_held_hour_without_a_date_blocks(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            verdict = firm.judge(
                firm.entry("e2"), "held", "time.work_date_missing", project=firm.last
            )
            firm.connection.execute(
                "UPDATE verdict SET period_id = NULL WHERE verdict_id = %s", (verdict,)
            )

        scene.arrange(build)

        assert "readiness.late_hours_open" in scene.codes(scene.compute())

    def test_the_firm_may_weigh_a_check_differently(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            firm.connection.execute(
                "INSERT INTO policy_value (release_id, name, value, reason)"
                " VALUES (%s, 'weight:readiness.purchase_order_missing', 'warn', 'test')",
                (firm.release_id,),
            )

        scene.arrange(build, purchase_order=None)

        found = scene.compute()

        assert found.state == "ready"
        assert "readiness.purchase_order_missing" in scene.codes(found)

    def test_the_firm_may_leave_out_what_nobody_tells_it(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            firm.connection.execute(
                "INSERT INTO policy_value (release_id, name, value, reason)"
                " VALUES (%s, 'weight:readiness.retention', 'ignore', 'no client keeps a part back')",
                (firm.release_id,),
            )

        scene.arrange(build)

        found = scene.compute()

        assert "retention" not in found.lacking
        assert "supplier bills" in found.lacking

    def test_a_narrower_severity_beats_a_wider_one(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            for client_id, contract_id, ends_on, severity in (
                (firm.client_id, None, None, "error"),
                (None, firm.last["contract_id"], None, "ignore"),
                (None, firm.last["contract_id"], date(2026, 11, 1), "error"),
            ):
                firm.connection.execute(
                    "INSERT INTO severity_override (release_id, code, client_id, contract_id, starts_on,"
                    " ends_on, severity, reason) VALUES (%s, 'readiness.tax_treatment_missing', %s, %s,"
                    " '2026-01-01', %s, %s, 'test')",
                    (firm.release_id, client_id, contract_id, ends_on, severity),
                )

        scene.arrange(build)

        assert "readiness.tax_treatment_missing" not in scene.codes(scene.compute())
        with scene.database.transaction() as connection:
            connection.execute("DELETE FROM severity_override WHERE severity = 'ignore'")
        assert scene.compute().state == "blocked"


class TestPrice:
    def test_rounds_as_the_target_and_shows_the_difference(self, scene: Scene) -> None:
        # 67 minutes are 1.12 h for Tryton: 168.00 where the ledger says 167.50.
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last, seconds=67 * 60))

        found = scene.compute()

        assert found.ledger_amount == Decimal("167.50")
        assert found.expected_amount == Decimal("168.00")
        assert found.rounding_amount == Decimal("0.50")


class TestRelease:
    def test_locks_the_contract_up_to_the_last_day(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()

        scene.release()

        def locked(day: str) -> Any:
            return scene.one(
                "SELECT tieline.contract_is_locked(%s, %s)", scene.project["contract_id"], day
            )

        assert locked("2026-10-31")
        assert locked("2026-09-01")
        assert not locked("2026-11-01")
        assert scene.compute().state == "released"

    def test_stands_when_it_comes_while_readiness_is_computed(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()
        releasing = Thread(target=scene.release)

        def check_later(*words: Any, **named: Any) -> Any:
            releasing.start()
            releasing.join(0.5)
            return check_invoices(*words, **named)

        monkeypatch.setattr("tieline.services.invoice_readiness.check_invoices", check_later)
        scene.compute()
        releasing.join()

        assert scene.one("SELECT state FROM readiness") == "released"

    def test_an_incomplete_contract_needs_a_reason_and_shows_what_it_carries(
        self, scene: Scene
    ) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            firm.judge(firm.entry("e2"), "held", "time.day_exceeded", project=firm.last)

        scene.arrange(build)
        scene.compute()

        with pytest.raises(UserMistake, match="say what is carried"):
            scene.release()
        released = scene.release("client asked for the invoice today")

        assert (released.carried_seconds, released.carried_amount) == (3600, Decimal("150.00"))
        assert scene.compute().carried_seconds == 3600
        outcome = scene.draft()
        assert isinstance(outcome, Drafted)
        assert outcome.untaxed_amount == Decimal("150.00")

    def test_no_reason_excuses_what_would_make_the_invoice_wrong(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            firm.judge(firm.entry("e2"), "held", "time.day_exceeded", project=firm.last)
            firm.connection.execute("UPDATE contract_version SET billing_method = 'prepaid'")

        scene.arrange(build)
        found = scene.compute()
        assert found.state == "blocked"

        with pytest.raises(UserMistake, match=r"readiness\.billing_method_unsupported") as refused:
            scene.release("client asked for the invoice today")

        assert "hours_held" not in str(refused.value)
        carried = {each["code"]: each["may_be_carried"] for each in found.blockers}
        assert carried["readiness.hours_held"] is True
        assert carried["readiness.billing_method_unsupported"] is False
        assert scene.compute().state == "blocked"

    def test_a_withdrawn_release_carried_nothing(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            firm.judge(firm.entry("e2"), "held", "time.day_exceeded", project=firm.last)

        scene.arrange(build)
        for _ in range(2):
            scene.compute()
            scene.release("the client waits")
            scene.withdraw()

        assert scene.compute().carried_seconds == 0
        scene.release("the client waits")
        assert scene.compute().carried_seconds == 3600

    def test_is_refused_twice_and_may_be_withdrawn(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()
        scene.release()

        with pytest.raises(UserMistake, match="already released"):
            scene.release()
        scene.withdraw()

        assert scene.compute().state == "ready"

    def test_is_refused_when_nothing_is_due(self, scene: Scene) -> None:
        scene.arrange(lambda firm: None)
        scene.compute()

        with pytest.raises(UserMistake, match="is not due"):
            scene.release()

    def test_is_done_from_a_page_by_who_sees_the_entity_only(
        self, scene: Scene, database: Dsns
    ) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        before = scene.compute()
        web = Database(database.web, pool_max=1, application_name="test").open()

        def release(entity_code: str) -> Any:
            return release_contract(
                web,
                contract_id=scene.project["contract_id"],
                period_id=scene.period_id,
                by="ada",
                carry_reason="the rest next month",
                now=NOW,
                entities=[entity_code],
            )

        with pytest.raises(UserMistake, match="nothing to release"):
            release("UK")
        release("DE")
        with open_web_transaction(web, entities=["DE"]) as connection:
            (seen,) = list_readiness(connection)
            withdraw_release(
                connection,
                contract_id=scene.project["contract_id"],
                by="ada",
                reason="an hour came late",
                now=NOW,
            )
            (withdrawn,) = list_readiness(connection)
        with open_web_transaction(web, entities=["UK"]) as connection:
            unseen = list_readiness(connection)
        web.close()

        assert (seen.state, withdrawn.state) == ("released", before.state)
        assert unseen == ()


class TestDraft:
    def test_agrees_to_the_cent_and_binds_the_lines(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last, seconds=67 * 60)
            firm.hour("e2", project=firm.last, seconds=20 * 60, work_date=date(2026, 10, 31))

        scene.arrange(build)
        scene.compute()
        scene.release()

        outcome = scene.draft()

        assert isinstance(outcome, Drafted)
        assert outcome.mismatch_amount == 0
        assert outcome.untaxed_amount == Decimal("217.50")
        assert scene.one("SELECT count(*) FROM invoice_ledger_line") == 2
        assert scene.one("SELECT rounding_amount FROM invoice_line_record") == 0
        assert scene.compute().state == "invoiced"
        assert scene.one("SELECT state FROM effect WHERE noun = 'invoice'") == "CONFIRMED"
        assert not scene.one(
            "SELECT tieline.contract_is_locked(%s, '2026-10-31')", scene.project["contract_id"]
        )
        assert scene.one("SELECT count(*) FROM event WHERE type = 'invoice.drafted'") == 1

    def test_needs_a_release(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()

        with pytest.raises(UserMistake, match="release it first"):
            scene.draft()

    def test_repeats_its_answer(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()
        scene.release()
        first = scene.draft()

        second = scene.draft()

        assert isinstance(first, Drafted)
        assert isinstance(second, Drafted)
        assert (first.is_new, second.is_new) == (True, False)
        assert first.invoice_ids == second.invoice_ids
        assert scene.erp.calls == 1

    @pytest.mark.parametrize("fault", ["answer_lost", "killed"])
    def test_a_lost_answer_leaves_one_invoice(self, scene: Scene, fault: str) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()
        scene.release()
        scene.erp.faults = [fault]

        if fault == "killed":
            with pytest.raises(KeyboardInterrupt):
                scene.draft()
        # What was sent may still commit, also after our own death.
        waiting = scene.draft()
        assert isinstance(waiting, NotDrafted)
        assert waiting.due_in_seconds > 0
        scene.settle()
        outcome = scene.draft()

        assert isinstance(outcome, Drafted)
        assert outcome.mismatch_amount == 0
        assert len(scene.erp.invoices) == 1
        assert scene.erp.calls == 1

    def test_an_invoice_that_came_late_is_not_told_as_refused(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()
        scene.release()
        scene.erp.faults = ["late", "overtaken"]

        outcomes = []
        for _ in range(3):
            outcomes.append(scene.draft())
            scene.settle()

        assert [getattr(each, "reason", "drafted") for each in outcomes] == [
            "invoice.unconfirmed",
            "invoice.unconfirmed",
            "drafted",
        ]
        assert len(scene.erp.invoices) == 1

    def test_a_refusal_is_told_and_may_be_tried_again(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()
        scene.release()
        scene.erp.faults = ["refused", "busy"]

        refused, busy, outcome = scene.draft(), scene.draft(), scene.draft()

        assert isinstance(refused, NotDrafted)
        assert (refused.reason, refused.due_in_seconds) == ("erp.period_closed", 0)
        assert isinstance(busy, NotDrafted)
        assert busy.due_in_seconds == 3
        assert isinstance(outcome, Drafted)

    def test_waits_for_unconfirmed_hours(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            entry = firm.entry("e2")
            firm.judge(entry, "cleared", project=firm.last)
            firm.post(entry, until="UNKNOWN")

        scene.arrange(build)
        scene.compute()
        scene.release("the rest goes next month")

        outcome = scene.draft()

        assert isinstance(outcome, NotDrafted)
        assert outcome.reason == "readiness.writes_unconfirmed"
        assert scene.erp.calls == 0

    def test_a_difference_is_shown_and_becomes_a_case(self, scene: Scene) -> None:
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()
        scene.release()
        scene.erp.lines.append(("task-P1", OCTOBER_7, 3600))

        outcome = scene.draft()

        assert isinstance(outcome, Drafted)
        assert outcome.mismatch_amount == Decimal("150.00")
        with scene.database.transaction() as connection:
            (case,) = list_cases(connection, reason="invoice.total_differs")
        assert case.amounts[0].amount == Decimal("150.00")

    def test_a_fixed_fee_is_billed_from_the_contract_once(self, scene: Scene) -> None:
        scene.arrange(
            lambda firm: firm.hour("e1", project=firm.last),
            billing_method="fixed_fee",
            value_amount=Decimal("12000.00"),
        )
        scene.erp.fees["sale-P1"] = Decimal("12000.00")
        assert scene.compute().expected_amount == Decimal("12000.00")
        scene.release()

        outcome = scene.draft()

        assert isinstance(outcome, Drafted)
        assert outcome.mismatch_amount == 0
        assert outcome.untaxed_amount == Decimal("12000.00")
        assert scene.compute().state == "invoiced"

    def test_hours_that_come_after_the_invoice_are_billed_with_the_next_period(
        self, scene: Scene
    ) -> None:
        def build(firm: Firm) -> None:
            firm.hour("e1", project=firm.last)
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            firm.connection.execute("UPDATE contract_version SET ends_on = '2026-11-01'")

        scene.arrange(build)
        scene.compute()
        scene.release()
        assert isinstance(scene.draft(), Drafted)

        scene.arrange_more(lambda firm: firm.hour("late", project=scene.project, seconds=7200))

        with scene.database.transaction() as connection:
            compute_readiness(
                connection, connectors=scene.connectors, outlook=None, now=NOW + timedelta(days=30)
            )
            (november,) = list_readiness(connection, period_code="2026-11", entity_code="DE")
        assert (november.seconds, november.expected_amount) == (7200, Decimal("300.00"))
