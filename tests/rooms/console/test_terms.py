"""A proposed file is seen by whoever may agree to it: its rows, and the deals that would be read otherwise."""

from __future__ import annotations

from pathlib import Path

from tests.flows.test_codes import STAGES, propose
from tests.support.deal import CRM
from tests.support.deal_world import opened_world

from tieline.runtime.migrate import Dsns

from .conftest import House


def test_shows_what_a_file_of_codes_would_do_before_anybody_agrees(
    house: House, database: Dsns, tmp_path: Path
) -> None:
    with opened_world(database, tmp_path) as world:
        world.win()
        house.rows(
            "UPDATE person_login SET entities = ARRAY(SELECT entity_code FROM legal_entity)"
            " WHERE login = 'ann' RETURNING login"
        )
        with world.flow.database.transaction() as connection:
            proposal_id = propose(
                connection,
                "inbound-codes",
                *STAGES,
                f"{CRM},practice,,data,Data & AI,2026-01-01,",
                by="bob",
            )
        ann = house.browser("ann")
        address = f"/approvals/{proposal_id}/file"

        assert address in ann.get("/approvals").text
        page = ann.get(address).text
        # Who sees one legal entity is not shown what holds for all of them.
        stranger = house.browser("bob")
        hidden = stranger.get("/approvals").text
        refused = stranger.get(address).status_code

    assert "15,000.00" in page
    assert "Data &amp; AI" in page
    assert f"/approvals/{proposal_id}/approve" in page
    assert address not in hidden
    assert refused == 404
