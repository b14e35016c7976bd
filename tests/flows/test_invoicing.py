"""An invoice that was asked for is drafted by a worker, once, and its line walks back to the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from tests.flows.test_readiness import Scene
from tests.rooms.casework.hand_made_firm import NOW
from tests.support.target import FixedClock

from tieline.app import InstalledSystems
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.work import Again, Done, Failed, Outcome
from tieline.services.explain import Explanation, explain
from tieline.services.invoicing import DRAFT_INVOICE, Invoicing, ask_for_invoice
from tieline.services.links import read_links

_Result = TypeVar("_Result")


class _OneStep:
    """Run steps at once, as a durable run does that is never interrupted."""

    def run(self, name: str, function: Callable[[], _Result]) -> _Result:
        return function()


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
    return invoicing.draft(_OneStep(), subject)


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

    def test_our_id_and_theirs_lead_to_the_same(self, invoiced: Scene) -> None:
        entry_id = invoiced.one("SELECT entry_id FROM time_entry WHERE source_ref = 'e1'")

        assert _explain(invoiced, "hour", str(entry_id)).steps == (
            _explain(invoiced, "hour", "clock:e1").steps
        )

    def test_what_is_unknown_is_told(self, invoiced: Scene) -> None:
        for kind in ("deal", "hour", "case", "invoice-line"):
            with pytest.raises(UserMistake, match=f"no {kind} is known"):
                _explain(invoiced, kind, "books:nothing")


def _explain(scene: Scene, kind: str, ref: str) -> Explanation:
    with scene.database.transaction() as connection:
        links = read_links(connection, systems=InstalledSystems())
        return explain(connection, kind=kind, ref=ref, links=links)
