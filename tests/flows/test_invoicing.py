"""An invoice that was asked for is drafted by a worker, once, and its line walks back to the clock."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from tests.flows.test_readiness import Scene
from tests.rooms.casework.hand_made_firm import NOW
from tests.support.target import FixedClock

from tieline.app import InstalledSystems
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.work import Again, AtOnce, Done, Failed, Outcome
from tieline.services.explain import Explanation, explain
from tieline.services.invoicing import DRAFT_INVOICE, Invoicing, ask_for_invoice
from tieline.services.links import read_links


@pytest.fixture
def scene(worker_database: Database) -> Scene:
    """Release a contract with two hours."""
    scene = Scene(worker_database)

    def two_hours(firm: Any) -> None:
        firm.hour("e1", project=firm.last)
        firm.hour("e2", project=firm.last, seconds=1800)

    scene.arrange(two_hours)
    scene.compute()
    return scene


def _ask(scene: Scene) -> None:
    with scene.database.transaction() as connection:
        ask_for_invoice(
            connection,
            contract_id=scene.project["contract_id"],
            period_id=scene.period_id,
            correlation_id="c-7",
        )


def _draft(scene: Scene) -> Outcome:
    subject = scene.one("SELECT subject FROM work_item WHERE kind = %s", DRAFT_INVOICE)
    invoicing = Invoicing(
        database=scene.database, connectors=scene.connectors, clock=FixedClock(NOW)
    )
    return invoicing.draft(AtOnce(), subject)


class TestAsking:
    def test_needs_a_release(self, scene: Scene) -> None:
        with pytest.raises(UserMistake, match="release the contract"):
            _ask(scene)

    def test_twice_is_asking_once(self, scene: Scene) -> None:
        scene.release()

        _ask(scene)
        _ask(scene)

        assert scene.one("SELECT count(*) FROM work_item WHERE kind = %s", DRAFT_INVOICE) == 1


class TestDrafting:
    def test_makes_the_invoice(self, scene: Scene) -> None:
        scene.release()
        _ask(scene)

        assert _draft(scene) == Done()
        assert scene.one("SELECT count(*) FROM invoice_record WHERE mismatch_amount = 0") == 1

    def test_again_makes_no_second_one(self, scene: Scene) -> None:
        scene.release()
        _ask(scene)
        _draft(scene)

        assert _draft(scene) == Done()
        assert scene.one("SELECT count(*) FROM invoice_record") == 1

    def test_comes_back_when_the_answer_was_lost(self, scene: Scene) -> None:
        scene.release()
        _ask(scene)
        scene.erp.faults.append("answer_lost")

        outcome = _draft(scene)

        assert isinstance(outcome, Again)
        scene.settle()
        assert _draft(scene) == Done()
        assert len(scene.erp.invoices) == 1

    def test_waits_while_posting_is_stopped(self, scene: Scene) -> None:
        scene.release()
        _ask(scene)
        with scene.database.transaction() as connection:
            connection.execute(
                "INSERT INTO posting_stop (check_name, subject, scope_key, target_connection,"
                " project_id, because, fingerprint, since, last_red_at)"
                " SELECT 'check.ledger', '', 'x', 'books', %s, 'it differs', '', %s, %s",
                (scene.project["project_id"], NOW, NOW),
            )

        outcome = _draft(scene)

        assert isinstance(outcome, Again)
        assert scene.erp.calls == 0

    def test_a_refusal_is_told(self, scene: Scene) -> None:
        scene.release()
        _ask(scene)
        scene.erp.faults.append("refused")

        outcome = _draft(scene)

        assert outcome == Failed("erp.period_closed: the period is closed")


class TestExplaining:
    @pytest.fixture
    def invoiced(self, scene: Scene) -> Scene:
        with scene.database.transaction() as connection:
            connection.execute(
                'UPDATE connection SET config = \'{"base_url": "https://erp.example",'
                ' "database": "books"}\' WHERE connection_key = \'books\''
            )
            connection.execute("UPDATE time_entry SET object = 'time_entries'")
        scene.release()
        _ask(scene)
        _draft(scene)
        return scene

    def test_an_invoice_line_walks_back_to_the_clock(self, invoiced: Scene) -> None:
        line_code = invoiced.one("SELECT line_code FROM invoice_line_record")

        way = _explain(invoiced, "invoice-line", f"books:{line_code}")

        hours = [step for step in way.steps if step.what == "made of"]
        (invoice,) = [step for step in way.steps if step.what == "stands on the invoice"]
        assert {step.facts["source_ref"] for step in hours} == {"e1", "e2"}
        assert hours[0].link == "https://app.harvestapp.com/time/week?entry=e1"
        assert sum(step.facts["amount"] for step in hours) == invoice.facts["ledger_amount"]
        assert invoice.link is not None
        assert invoice.link.startswith("https://erp.example/#books/model/account.invoice/")
        assert [step.facts["released_by"] for step in way.steps if step.what == "released"] == [
            "ada"
        ]
        assert way.entities == {"DE"}

    def test_an_hour_goes_the_whole_way(self, invoiced: Scene) -> None:
        way = _explain(invoiced, "hour", "clock:e1")

        assert [step.what for step in way.steps] == [
            "received",
            "judged",
            "priced",
            "written",
            "booked",
            "invoiced",
        ]
        facts = {step.what: step.facts for step in way.steps}
        assert facts["judged"]["release_title"] == "first"
        assert facts["written"]["business_key"] == facts["booked"]["business_key"]
        assert facts["invoiced"]["line_code"]
        written = next(step for step in way.steps if step.what == "written")
        assert written.system == "books"
        assert str(written.link).startswith("https://erp.example/#books/model/timesheet.line/")

    def test_an_hour_names_the_deal_it_was_sold_in(self, invoiced: Scene) -> None:
        _sell(invoiced)

        way = _explain(invoiced, "hour", "clock:e1")

        (deal,) = [step for step in way.steps if step.what == "belongs to the deal"]
        assert deal.facts["deal_ref"] == "7"
        assert deal.link == "https://app.hubspot.com/contacts/42/record/0-3/7"

    def test_a_deal_goes_the_whole_way(self, invoiced: Scene) -> None:
        plan_id = _sell(invoiced)

        way = _explain(invoiced, "deal", "sales:7")

        steps = {step.what: step for step in way.steps}
        assert set(steps) == {
            "received",
            "planned",
            "written",
            "became known as an event",
            "in a case",
        }
        assert steps["received"].link == "https://app.hubspot.com/contacts/42/record/0-3/7"
        assert steps["planned"].facts["project_code"] == "P1"
        assert steps["written"].facts["state"] == "CONFIRMED"
        assert steps["written"].link == ("https://erp.example/#books/model/project.work/400")
        assert steps["in a case"].facts["reason"] == "deal.amount_missing"
        assert way.steps == _explain(invoiced, "deal", str(plan_id)).steps

    def test_our_id_and_theirs_lead_to_the_same(self, invoiced: Scene) -> None:
        entry_id = invoiced.one("SELECT entry_id FROM time_entry WHERE source_ref = 'e1'")

        assert _explain(invoiced, "hour", str(entry_id)).steps == (
            _explain(invoiced, "hour", "clock:e1").steps
        )

    def test_what_is_unknown_is_told(self, invoiced: Scene) -> None:
        for kind in ("deal", "hour", "case", "invoice-line"):
            with pytest.raises(UserMistake, match=f"no {kind} is known"):
                _explain(invoiced, kind, "books:nothing")


def _sell(scene: Scene) -> UUID:
    """Say that the project was sold in a deal, was made in the ERP, and had a case."""
    project = scene.project
    with scene.database.transaction() as connection:
        run = connection.execute
        run(
            "UPDATE connection SET config = '{\"portal_id\": \"42\"}' WHERE connection_key = 'sales'"
        )
        run(
            "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version,"
            " is_newest, noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id,"
            " correlation_id) VALUES ('sales', 0, 'deals', '7', 1, true, 'Opportunity',"
            " '{\"stage\": \"closedwon\", \"is_won\": true}', false, 'h', 1, %s, 1, 'c')",
            (NOW,),
        )
        row = run(
            "INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state, entity_code,"
            " contract_id, project_id, plan, won_at, planned_at, known_at, correlation_id)"
            " VALUES ('sales', 0, '7', 'active', 'DE', %s, %s, '{}', %s, %s, %s, 'c')"
            " RETURNING plan_id",
            (project["contract_id"], project["project_id"], NOW, NOW, NOW),
        ).fetchone()
        run(
            "INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref,"
            " target_connection, noun, part, effect_no, kind, entity_code, work_class, correlation_id,"
            " planned_at) VALUES (gen_random_uuid(), 'sales', 0, 'deal', '7', 'books', 'project', '', 1,"
            " 'write', 'DE', 2, 'c', %s)",
            (NOW,),
        )
        for state in ("INTENT", "CONFIRMED"):
            run(
                "UPDATE effect SET state = %s, payload_hash = 'x', target_code = '400'"
                " WHERE source_ref = '7'",
                (state,),
            )
        run(
            "INSERT INTO event (type, subject_kind, subject_id, entity_code, occurred_at, recorded_at,"
            " correlation_id) VALUES ('project.active', 'project', %s, 'DE', %s, %s, 'c')",
            (str(project["project_id"]), NOW, NOW),
        )
        run(
            "INSERT INTO case_file (reason, owner_queue, thing_kind, thing_key, entity_code, opened_at,"
            " correlation_id) VALUES ('deal.amount_missing', 'sales_operations', 'deal', 'sales:7', 'DE',"
            " %s, 'c')",
            (NOW,),
        )
    assert row is not None
    plan_id: UUID = row["plan_id"]
    return plan_id


def _explain(scene: Scene, kind: str, ref: str) -> Explanation:
    with scene.database.transaction() as connection:
        links = read_links(connection, systems=InstalledSystems())
        return explain(connection, kind=kind, ref=ref, links=links, now=NOW)
