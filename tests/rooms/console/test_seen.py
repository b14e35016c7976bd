"""The link of a message: looking changes nothing, the button says that it was seen."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from tests.rooms.casework.hand_made_firm import NOW
from tests.rooms.console.conftest import PEPPER, House

from tieline.notices import Message, link_token, write_notices

LINK_KEY = b"k" * 32


@pytest.fixture
def token(firm: House) -> str:
    message = Message(
        kind="escalation",
        occasion="cut_off",
        owner="queue:delivery",
        is_urgent=True,
        entity_code="DE",
        period_id=firm.periods["DE", "2026-10"],
        case_ids=tuple(each for each in (firm.case_id,) if each),
        covers_waiting=False,
        subject="30 min to the cut-off of <b>Nordwind</b>",
        body="one case",
        due_at=NOW + timedelta(minutes=30),
        useful_until=NOW + timedelta(minutes=30),
    )
    with firm.worker.transaction() as connection:
        write_notices(
            connection, message=message, reached=(), link_key=LINK_KEY, pepper=PEPPER, now=NOW
        )
    (row,) = firm.rows("SELECT notice_key FROM notice")
    return link_token(UUID(str(row["notice_key"])), link_key=LINK_KEY)


class TestTheLinkOfAMessage:
    def test_changes_nothing_when_it_is_looked_at(self, firm: House, token: str) -> None:
        before = firm.rows("SELECT n::text FROM notice n"), firm.rows("SELECT a::text FROM audit a")
        stranger = firm.browser()

        for _ in range(2):
            page = stranger.get("/seen", token=token)
            assert page.status_code == 200
        head = stranger.client.head("/seen", params={"token": token})

        assert head.status_code in (200, 405)
        assert "&lt;b&gt;Nordwind" in page.text
        assert "I have seen it" in page.text
        after = firm.rows("SELECT n::text FROM notice n"), firm.rows("SELECT a::text FROM audit a")
        assert after == before

    def test_says_that_it_was_seen_once_the_button_is_pressed(
        self, firm: House, token: str
    ) -> None:
        stranger = firm.browser()

        pages = [stranger.client.post("/seen", data={"token": token}) for _ in range(2)]

        assert all("You said so on" in page.text for page in pages)
        assert all("I have seen it" not in page.text for page in pages)
        assert firm.rows(
            "SELECT actor, entity_code FROM audit WHERE action = 'notice.acknowledged'"
        ) == [{"actor": "queue:delivery", "entity_code": "DE"}]

    def test_leads_nowhere_when_it_is_none_of_ours(self, firm: House, token: str) -> None:
        stranger = firm.browser()

        for word in ("", "tla_nothing", "ä" * 150):
            assert stranger.get("/seen", token=word).status_code == 404
            assert stranger.client.post("/seen", data={"token": word}).status_code == 404
        firm.rows("UPDATE notice SET useful_until = %s RETURNING 1", NOW)
        assert stranger.get("/seen", token=token).status_code == 404
