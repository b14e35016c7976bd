"""A fiscal period is closed and opened again by two people, from its own page."""

from __future__ import annotations

from uuid import UUID

from .conftest import House


def _page(firm: House) -> str:
    return f"/close/periods/{firm.periods['DE', '2026-10']}"


def _proposal_id(firm: House) -> UUID:
    rows = firm.rows("SELECT proposal_id FROM proposal WHERE state = 'proposed'")
    proposal_id: UUID = rows[0]["proposal_id"]
    return proposal_id


def _state(firm: House) -> str:
    rows = firm.rows(
        "SELECT state FROM fiscal_period WHERE period_id = %s", firm.periods["DE", "2026-10"]
    )
    return str(rows[0]["state"])


class TestAPeriod:
    def test_is_found_from_the_close_page(self, firm: House) -> None:
        browser = firm.browser("ann")

        assert f'href="{_page(firm)}"' in browser.get("/close").text

    def test_shows_what_still_moves(self, firm: House) -> None:
        text = firm.browser("ann").get(_page(firm)).text

        assert "In need of attention" in text
        assert "EUR 150.00" in text
        assert "not touched" in text

    def test_is_closed_by_two_people(self, firm: House) -> None:
        ann, bob = firm.browser("ann"), firm.browser("bob")

        silent = ann.send(f"{_page(firm)}/close")
        asked = ann.send(f"{_page(firm)}/close", reason="the hour goes to November")
        own = ann.send(f"/approvals/{_proposal_id(firm)}/approve")
        before = _state(firm)
        shown = bob.get("/approvals").text
        bob.send(f"/approvals/{_proposal_id(firm)}/approve")

        assert silent.status_code == 409
        assert "say why it stays behind" in silent.text
        assert asked.status_code == 303
        assert own.status_code == 409
        assert "Close the period" in shown
        assert "1 in need of attention (1.00 h)" in shown
        assert (before, _state(firm)) == ("open", "closed")
        told = firm.rows(
            "SELECT actor, data ->> 'proposed_by' AS proposed_by FROM audit"
            " WHERE action = 'period.closed'"
        )
        assert told == [{"actor": "bob", "proposed_by": "ann"}]

    def test_is_opened_again_by_two_people(self, firm: House) -> None:
        ann, bob = firm.browser("ann"), firm.browser("bob")
        ann.send(f"{_page(firm)}/close", reason="the hour goes to November")
        bob.send(f"/approvals/{_proposal_id(firm)}/approve")

        bob.send(f"{_page(firm)}/reopen", reason="the client found an hour")
        ann.send(f"/approvals/{_proposal_id(firm)}/approve")

        assert _state(firm) == "open"
        assert "the client found an hour" in ann.get(_page(firm)).text

    def test_stays_open_when_more_moves_than_was_agreed_to(self, firm: House) -> None:
        firm.browser("ann").send(f"{_page(firm)}/close", reason="the hour goes to November")
        firm.rows(
            "UPDATE time_entry_version v SET seconds = 7200 FROM case_member m"
            " WHERE m.entry_id = v.entry_id AND m.case_id = %s RETURNING 1 AS one",
            firm.case_id,
        )

        answer = firm.browser("bob").send(f"/approvals/{_proposal_id(firm)}/approve")

        assert answer.status_code == 409
        assert "propose it anew" in answer.text
        assert _state(firm) == "open"

    def test_waits_for_what_is_not_confirmed(self, firm: House) -> None:
        firm.rows(
            "UPDATE case_member SET left_at = now() WHERE case_id = %s RETURNING 1 AS one",
            firm.case_id,
        )
        _send(firm)

        page = firm.browser("ann").get(_page(firm)).text
        asked = firm.browser("ann").send(f"{_page(firm)}/close", reason="it is late")

        assert "has not answered yet" in page
        assert asked.status_code == 409
        assert "before the ERP has answered" in asked.text

    def test_of_another_legal_entity_does_not_exist(self, firm: House) -> None:
        browser = firm.browser("cyd")

        assert browser.get(_page(firm)).status_code == 404
        assert browser.send(f"{_page(firm)}/close", reason="x").status_code == 404

    def test_is_only_looked_at_without_a_role(self, firm: House) -> None:
        browser = firm.browser("eve")

        assert browser.get(_page(firm)).status_code == 200
        assert browser.send(f"{_page(firm)}/close", reason="x").status_code == 403
        assert browser.send(f"{_page(firm)}/reopen", reason="x").status_code == 403


def _send(firm: House) -> None:
    """Let one more hour of the period be sent and not answered."""
    from tests.rooms.casework.hand_made_firm import Firm

    with firm.worker.transaction() as connection:
        made = Firm(connection)
        made.periods = firm.periods
        for name, table in (("release_id", "release"), ("batch_id", "intake_batch")):
            row = connection.execute(f"SELECT {name} AS id FROM {table}").fetchone()
            assert row is not None
            setattr(made, name, row["id"])
        for name, table in (("client_id", "client"), ("person_id", "person")):
            row = connection.execute(f"SELECT {name} AS id FROM {table}").fetchone()
            assert row is not None
            setattr(made, name, row["id"])
        entry_id = made.entry("sent-1")
        made.judge(entry_id, "cleared", project=firm.project)
        made.post(entry_id, until="INTENT")
