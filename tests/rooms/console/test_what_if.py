"""A rule is drafted on a page, asked of past days, and the answer is looked at and taken along."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from tests.rooms.casework.hand_made_firm import NOW
from tests.support.target import FixedClock

from tieline.runtime.work import AtOnce
from tieline.services.what_if_runs import WhatIfRuns

from .conftest import House

RULE = {
    "code": "firm.never_short",
    "applies_when": "work_date >= date '2026-10-01'",
    "predicate": "seconds >= 100 * 3600",
    "severity": "error",
    "owner": "delivery",
    "message": "An hour of <b>less</b> than a hundred.",
    "fix": "Work longer.",
    "reason": "a test",
}
DAYS = {"starts_on": "2026-10-01", "ends_on": "2026-11-01"}


def _work(firm: House) -> None:
    runs = WhatIfRuns(database=firm.worker, clock=FixedClock(NOW))
    while runs.answer(AtOnce(), "next") != _done():
        pass


def _done() -> Any:
    from tieline.runtime.work import Done

    return Done()


class TestWhatIf:
    def test_goes_from_a_rule_to_its_answer(self, firm: House) -> None:
        dan = firm.browser("dan")
        empty = dan.get("/what-if").text

        wrong = dan.send(
            "/what-if/rule", **{**RULE, "predicate": "seconds >= (SELECT 1) -- <script>"}
        )
        drafted = dan.send("/what-if/rule", **RULE)
        release = drafted.headers["location"].partition("draft=")[2].partition("&")[0]
        chosen = dan.get(drafted.headers["location"]).text
        asked = dan.send("/what-if", release=release, **DAYS)
        address = asked.headers["location"].partition("?")[0]
        waiting = dan.get(address).text
        early = dan.get(f"{address}/file.xlsx")
        _work(firm)
        answered = dan.get(address).text
        file = dan.get(f"{address}/file.xlsx")
        own = dan.send(f"/approvals/rules/{release}/approve")

        assert "Nobody has asked yet" in empty
        assert wrong.status_code == 409
        assert 'id="wrong-predicate"' in wrong.text
        assert "uses --, which is not allowed" in wrong.text
        assert "<script>" not in wrong.text.partition("<main")[2]
        assert "firm.never_short" in wrong.text
        assert drafted.status_code == 303
        assert f'<option value="{release}" selected>' in chosen
        assert 'hx-trigger="every 2s"' in waiting
        assert early.status_code == 404
        assert "Let a second person decide" in answered
        assert "An hour of &lt;b&gt;less&lt;/b&gt;" in answered
        assert "<code>firm.never_short</code>" in answered
        assert file.status_code == 200
        with zipfile.ZipFile(io.BytesIO(file.content)) as book:
            told = book.read("xl/workbook.xml").decode()
        assert [name in told for name in ("By contract", "Closed periods")] == [True, True]
        assert own.status_code == 409
        assert firm.rows("SELECT state FROM release ORDER BY 1") == [
            {"state": "current"},
            {"state": "draft"},
        ]

    def test_says_why_it_cannot_be_asked_and_keeps_what_was_filled_in(self, firm: House) -> None:
        dan = firm.browser("dan")

        nothing = dan.send("/what-if", **DAYS)
        rows = dan.send("/what-if", noun="person-links", rows="who,what\n1,2\n", **DAYS)
        days = dan.send("/what-if", starts_on="tomorrow", ends_on="2026-11-01")
        pasted = dan.send(
            "/what-if",
            noun="project-links",
            rows="connection,source_ref,project,starts_on\nclock,nowhere,P-NONE,2026-01-01\n",
            **DAYS,
        )
        _work(firm)
        assert pasted.status_code == 303, pasted.text
        failed = dan.get(pasted.headers["location"]).text

        assert (nothing.status_code, rows.status_code, days.status_code) == (409, 409, 409)
        assert "name a draft" in nothing.text
        assert "who is no column of person-links" in rows.text
        assert "who,what\n1,2" in rows.text.replace("\r", "")
        assert "tomorrow is no day" in days.text
        assert "line 2, project: no project is known as P-NONE" in failed
        assert "Ask something else" in failed

    def test_is_stopped_by_those_who_see_the_whole_firm_and_seen_by_nobody_else(
        self, firm: House
    ) -> None:
        dan = firm.browser("dan")
        dan.send("/what-if/rule", **RULE)
        (row,) = firm.rows("SELECT release_id FROM release WHERE state = 'draft'")
        asked = dan.send("/what-if", release=str(row["release_id"]), **DAYS)
        address = asked.headers["location"].partition("?")[0]

        for login in ("ann", "eve", "fay"):
            browser = firm.browser(login)
            for page in ("/what-if", "/what-if/rule", address, f"{address}/file.xlsx"):
                assert browser.get(page).status_code == 404, (login, page)
            for form in ("/what-if", f"{address}/stop"):
                refused = browser.send(form, release="1", **DAYS)
                assert refused.status_code in (403, 404), (login, form)
        assert firm.browser().get("/what-if").status_code == 303
        assert firm.rows("SELECT state FROM what_if") == [{"state": "waiting"}]
        dan.send(f"{address}/stop")
        _work(firm)

        assert "Stopped" in dan.get(address).text
        assert firm.rows("SELECT state, answer FROM what_if") == [
            {"state": "stopped", "answer": None}
        ]
        assert dan.send(f"{address}/stop").status_code == 404
