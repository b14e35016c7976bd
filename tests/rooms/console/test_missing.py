"""Who has not handed in or approved time is seen, downloaded, reminded and stood in for."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from tests.rooms.casework.hand_made_firm import NOW

from .conftest import House

_EMPLOYED = """
    WITH who AS (INSERT INTO subject (subject_id, kind, name, email, recorded_at)
                 SELECT person_id, 'person', %(name)s, %(email)s, %(at)s FROM person LIMIT 1 RETURNING subject_id),
         pattern AS (INSERT INTO work_pattern (person_id, weekday_seconds, starts_on, recorded_at)
                     SELECT subject_id, '{28800,28800,28800,28800,28800,0,0}', '2026-01-01', %(at)s FROM who),
         year AS (INSERT INTO holiday_year VALUES ('DE', 2026, 'a test', %(at)s))
    INSERT INTO work_place (person_id, place, starts_on, recorded_at)
    SELECT subject_id, 'DE', '2026-01-01', %(at)s FROM who
"""
_APPROVED_BY = """
    WITH boss AS (INSERT INTO person (recorded_at) VALUES (%(at)s) RETURNING person_id),
         named AS (INSERT INTO subject (subject_id, kind, name, email, recorded_at)
                   SELECT person_id, 'person', 'Bea Boss', 'bea@x.example', %(at)s FROM boss),
         placed AS (INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)
                    SELECT 'clock', 'person', v.person_ref, w.person_id, 'a test', %(at)s
                    FROM work_pattern w, (SELECT DISTINCT person_ref FROM time_entry_version) v)
    INSERT INTO assignment (person_id, project_id, labor_category, approver_id, starts_on, recorded_at)
    SELECT w.person_id, %(project)s, 'Consultant', b.person_id, '2026-01-01', %(at)s FROM work_pattern w, boss b
    RETURNING approver_id
"""


def _employ(firm: House) -> str:
    values: dict[str, Any] = {
        "name": "=1+1 <b>Anna</b>",
        "email": "anna@x.example",
        "at": NOW,
        "project": firm.project["project_id"],
    }
    with firm.worker.transaction() as connection:
        connection.execute(_EMPLOYED, values)
        row = connection.execute(_APPROVED_BY, values).fetchone()
    assert row is not None
    return str(row["approver_id"])


class TestTheMissingTimePage:
    def test_says_why_nothing_is_missing(self, firm: House) -> None:
        ann, cyd = firm.browser("ann"), firm.browser("cyd")

        assert "Nothing is expected of anybody yet" in ann.get("/missing").text
        assert "Nobody is employed by these legal entities" in cyd.get("/missing").text

    def test_names_who_is_missing_what_and_gives_the_same_as_a_file(self, firm: House) -> None:
        approver_id = _employ(firm)
        browser = firm.browser("ann")

        page = browser.get("/missing").text
        theirs = browser.get("/missing", approver=approver_id, state="unapproved").text
        file = browser.get("/missing.xlsx", state="all")

        assert "Who has not handed in or approved time?" in page
        assert "h missing of 1 person" in page
        assert "=1+1 &lt;b&gt;Anna&lt;/b&gt;" in page
        assert "not checked" in page
        assert "Bea Boss" in theirs
        with zipfile.ZipFile(io.BytesIO(file.content)) as book:
            assert len([name for name in book.namelist() if "sheets/sheet" in name]) == 3
            assert "<f>" not in book.read("xl/worksheets/sheet2.xml").decode()
        assert browser.get("/missing", approver="nobody").status_code == 409

    def test_reminds_whoever_has_a_channel_and_takes_two_to_deputize(self, firm: House) -> None:
        approver_id = _employ(firm)
        ann, eve = firm.browser("ann"), firm.browser("eve")

        refused = ann.send("/missing/remind", reason="soon")
        with firm.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode, created_at)"
                " VALUES ('post', 'mail', 'channel', 'act', %s)",
                (NOW,),
            )
            connection.execute("INSERT INTO reach VALUES ('staff:all', 'post', '', false)")
        done = ann.send("/missing/remind", reason="soon")
        again = ann.send("/missing/remind", reason="soon")
        deputy = {
            "approver": approver_id,
            "deputy": "anna@x.example",
            "starts_on": "2026-11-03",
            "last_on": "2026-11-06",
            "reason": "on leave",
        }

        assert "tieline people reach staff:all" in refused.text
        assert done.headers["location"].endswith("done=reminded")
        assert again.headers["location"].endswith("done=reminded_before")
        assert len(firm.rows("SELECT 1 AS one FROM notice WHERE kind = 'reminder'")) == 1
        assert ann.send("/missing/deputize", **deputy).status_code == 303
        assert ann.send("/missing/deputize", **deputy | {"approver": str(NOW)}).status_code == 422
        assert firm.browser("cyd").send("/missing/deputize", **deputy).status_code == 409
        assert eve.send("/missing/remind", reason="soon").status_code == 403
        (proposed,) = firm.rows("SELECT kind, state FROM proposal")
        assert proposed == {"kind": "register.load", "state": "proposed"}
