"""What would need attention of what is not approved is seen, and downloaded."""

from __future__ import annotations

from .conftest import House


class TestTheEarlyPage:
    def test_shows_what_would_need_attention_with_what_to_do(self, firm: House) -> None:
        browser = firm.browser("dan")

        page = browser.get("/early", state="all")
        file = browser.get("/early.xlsx", state="all")

        assert "What would need attention" in page.text
        assert "2026-10-08" in page.text
        assert file.status_code == 200
        assert browser.get("/early", project="P-NONE").text.count("2026-10-08") == 0
        assert browser.get("/early", approver="nobody").status_code == 409
