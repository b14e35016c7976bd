"""What changed after it was posted is seen with its money, chosen in bulk, and agreed to by two people."""

from __future__ import annotations

import io
import zipfile

from .conftest import House

_NAMED = """
    WITH named AS (
        INSERT INTO subject (subject_id, kind, name, email, recorded_at)
        SELECT person_id, 'person', 'Anna Berg', NULL, recorded_at FROM person LIMIT 1
        RETURNING subject_id, recorded_at
    )
    INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)
    SELECT 'clock', 'person', 'anna', subject_id, 'test', recorded_at FROM named
"""
_CHANGED = """
    WITH held AS (
        INSERT INTO verdict (entry_id, version, outcome, release_id, known_at, judged_at, person_id, project_id,
            contract_id, client_id, entity_code, period_id, work_date, seconds, is_billable, amount, currency,
            neighbor_keys, correlation_id)
        SELECT entry_id, version, 'held', release_id, known_at, judged_at, person_id, project_id, contract_id,
            client_id, entity_code, period_id, work_date, 5400, true, 225, 'EUR', neighbor_keys, 'c'
        FROM verdict WHERE verdict_id = (SELECT verdict_id FROM time_entry WHERE entry_id = %(entry)s)
        RETURNING *
    ), why AS (
        INSERT INTO verdict_reason (verdict_id, code, severity)
        SELECT verdict_id, 'time.change_not_agreed', 'error' FROM held
    ), pointed AS (
        UPDATE time_entry t SET verdict_id = h.verdict_id FROM held h WHERE t.entry_id = h.entry_id
    )
    INSERT INTO posted_change (entry_id, version, standing_key, verdict_id, kind, way, entity_code, period_id,
        project_id, old_seconds, old_amount, old_currency, new_entity_code, new_period_id, new_project_id,
        new_seconds, new_amount, new_currency, found_at, correlation_id)
    SELECT h.entry_id, h.version, e.business_key, h.verdict_id, 'edited', 'ask', h.entity_code, h.period_id,
        h.project_id, e.seconds, 150, 'EUR', h.entity_code, h.period_id, h.project_id, 5400, 225, 'EUR',
        h.judged_at, 'c'
    FROM held h JOIN effect e ON e.entry_id = h.entry_id AND e.noun = 'time_line'
    RETURNING change_id
"""


class TestTheChangesPage:
    def test_says_that_nothing_changed(self, firm: House) -> None:
        text = firm.browser("ann").get("/changes").text

        assert "What changed after it went into the ERP?" in text
        assert "Nothing waits" in text

    def test_shows_money_and_takes_two_people(self, firm: House) -> None:
        with firm.worker.transaction() as connection:
            row = connection.execute(_CHANGED, {"entry": firm.entry_id}).fetchone()
        assert row is not None
        change_id = str(row["change_id"])
        ann, bob, cyd = firm.browser("ann"), firm.browser("bob"), firm.browser("cyd")

        shown = ann.get("/changes", entity="DE", state="to_approve").text
        preview = ann.get("/changes/preview", change=change_id).text
        asked = ann.send("/changes/agree", change=change_id, reason="it was longer")
        (proposal,) = firm.rows("SELECT proposal_id FROM proposal WHERE kind = 'change.adjust'")
        approve = f"/approvals/{proposal['proposal_id']}/approve"
        own = ann.send(approve)
        waiting = bob.get("/approvals").text
        done = bob.send(approve)

        assert "EUR 75.00" in shown
        assert "EUR 225.00" in shown
        assert change_id in shown
        assert "Two people: money moves" in preview
        assert change_id not in cyd.get("/changes", state="all").text
        assert asked.status_code == 303
        assert own.status_code == 409
        assert "1 hours changed, net +75" in waiting
        assert done.status_code == 303
        (agreed,) = firm.rows("SELECT proposed_by, approved_by, moves_money FROM adjustment")
        assert agreed == {"proposed_by": "ann", "approved_by": "bob", "moves_money": True}

    def test_gives_the_same_as_a_file(self, firm: House) -> None:
        with firm.worker.transaction() as connection:
            connection.execute(_CHANGED, {"entry": firm.entry_id})
            connection.execute(_NAMED)
        period = firm.periods["DE", "2026-10"]
        browser = firm.browser("ann")

        changes = browser.get("/changes.xlsx", state="open")
        accruals = browser.get(f"/close/periods/{period}/accruals.xlsx")

        # Whose hour it is stands on the page and in the file, for those who see the change.
        assert ">Anna Berg, 2026-10-07</a>" in browser.get("/changes", state="open").text
        assert "Anna Berg" not in firm.browser("cyd").get("/changes", state="all").text
        for answer in (changes, accruals):
            assert answer.status_code == 200
            with zipfile.ZipFile(io.BytesIO(answer.content)) as book:
                assert "xl/worksheets/sheet2.xml" in book.namelist()
        with zipfile.ZipFile(io.BytesIO(changes.content)) as book:
            sheet = book.read("xl/worksheets/sheet3.xml").decode()
        assert "<v>225</v>" in sheet
        assert "Anna Berg, 2026-10-07" in sheet
        assert "To accrue" in browser.get(f"/close/periods/{period}").text
