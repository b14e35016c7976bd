"""A person of one legal entity never sees, and never changes, what belongs to another."""

from __future__ import annotations

from .conftest import House


def _addresses_of_the_uk(firm: House) -> list[str]:
    return [
        f"/exceptions/{firm.other_case_id}",
        f"/close/{firm.other_project['contract_id']}/{firm.periods['UK', '2026-10']}",
        f"/trace?kind=hour&ref={firm.other_entry_id}",
        "/trace?kind=hour&ref=clock:booked-2",
        f"/trace?kind=case&ref={firm.other_case_id}",
        "/trace?kind=deal&ref=sales:8",
        "/handover/plan?deal=sales:8",
    ]


class TestAnotherEntity:
    def test_answers_as_if_it_did_not_exist(self, firm: House) -> None:
        theirs, ours = firm.browser("ann"), firm.browser("cyd")

        for address in _addresses_of_the_uk(firm):
            assert theirs.get(address).status_code == 404, address
            assert ours.get(address).status_code == 200, address

    def test_is_not_changed(self, firm: House) -> None:
        browser = firm.browser("ann")
        contract = f"{firm.other_project['contract_id']}/{firm.periods['UK', '2026-10']}"

        for address, fields in (
            (f"/exceptions/{firm.other_case_id}/assign", {"to": "ann"}),
            (f"/exceptions/{firm.other_case_id}/again", {"reason": "x"}),
            (f"/exceptions/{firm.other_case_id}/dismiss", {"reason": "x"}),
            (f"/exceptions/{firm.other_case_id}/leave-out", {"reason": "x"}),
            ("/handover/apply", {"deal": "sales:8", "digest": "0" * 64, "reason": "x"}),
            (f"/close/{contract}/release", {"carry": "x"}),
            (f"/close/{contract}/withdraw", {"reason": "x"}),
        ):
            assert browser.send(address, **fields).status_code == 404, address
        assert firm.rows("SELECT 1 AS one FROM release_lock") == []
        assert firm.rows("SELECT 1 AS one FROM proposal") == []
        assert firm.rows("SELECT 1 AS one FROM case_file WHERE assigned_to IS NOT NULL") == []

    def test_cannot_be_given_a_case_it_may_not_see(self, firm: House) -> None:
        answer = firm.browser("ann").send(f"/exceptions/{firm.case_id}/assign", to="cyd")

        assert answer.status_code == 409

    def test_does_not_approve(self, firm: House) -> None:
        firm.browser("ann").send(f"/exceptions/{firm.case_id}/leave-out", reason="a duplicate")
        proposal_id = firm.rows("SELECT proposal_id FROM proposal")[0]["proposal_id"]

        answer = firm.browser("cyd").send(f"/approvals/{proposal_id}/approve")

        assert answer.status_code == 404
        assert firm.rows("SELECT state FROM proposal")[0]["state"] == "proposed"


class TestSomebodyWithoutEntities:
    def test_sees_empty_pages(self, firm: House) -> None:
        browser = firm.browser("fay")

        for address in ("/", "/exceptions", "/close", "/trace", "/connections", "/approvals"):
            text = browser.get(address).text

            assert "Firm" not in text.replace("The firm", ""), address
            assert "empty-state" in text, address
