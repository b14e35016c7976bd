"""What systems already hold: proposed, linked and left in sets, and a corrected spreadsheet taken back."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW

from tieline.console.workbook import About, Column, Sheet, make_workbook
from tieline.services.adopting import HEADER, SHEET
from tieline.services.proposing_links import propose_links
from tieline.services.xlsx_reading import read_sheet

from .conftest import Browser, House, token_of

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.fixture
def records(firm: House) -> House:
    """Let the time tool hold a project that has our code, one that has none, and a person."""
    with firm.worker.transaction() as connection:
        for object_name, ref, noun, data in (
            ("projects", "11", "WorkItem", _item("P-UK")),
            ("projects", "12", "WorkItem", _item(None, name="=1+1 Garden")),
            ("users", "21", "Person", {"name": "Zoe", "email": "zoe@f.example"}),
        ):
            connection.execute(
                "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version, is_newest,"
                " noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id, correlation_id)"
                " VALUES ('clock', 0, %s, %s, 1, true, %s, %s, false, '', 1, %s, 1, 'c')",
                (object_name, ref, noun, Jsonb(data), NOW),
            )
        connection.execute("INSERT INTO connection_go_live VALUES ('clock', 'DE', '2026-10-08')")
        propose_links(connection, by="worker", now=NOW, progress=lambda done, total: None)
    return firm


def _item(code: str | None, name: str = "Theirs") -> dict[str, Any]:
    return {"kind": "project", "name": name, "code": code, "parent_ref": None, "client_ref": None}


def _picks(page: httpx.Response) -> dict[str, str]:
    found = re.findall(r'name="pick" value="([^"]*)"', page.text)
    return {pick.split('", "')[2]: pick for pick in map(unescape, found)}


def _upload(browser: Browser, content: bytes, deed: str) -> httpx.Response:
    return browser.client.post(
        "/adopt/sheet",
        data={"csrf": token_of(browser.get("/")), "reason": "go-live", "deed": deed},
        files={"sheet": ("adopt.xlsx", content, _XLSX)},
    )


def _sheet(rows: list[list[str]]) -> bytes:
    about = About(title="t", as_of=NOW, by="dan", filters={})
    columns = [Column(title=title) for title in HEADER]
    return make_workbook(about=about, sheets=[Sheet(name=SHEET, columns=columns, rows=rows)])


class TestTheAdoptPage:
    def test_is_for_who_sees_the_whole_firm_and_says_why_it_is_empty(self, house: House) -> None:
        assert "No system has been read yet" in house.browser("dan").get("/adopt").text

    def test_links_and_leaves_what_was_picked_and_takes_it_up_again(self, records: House) -> None:
        dan = records.browser("dan")
        page = dan.get("/adopt")
        picks = _picks(page)

        assert records.browser("ann").get("/adopt").status_code == 404
        assert "3</strong> <span>records have no link yet; for 1 of them" in page.text
        assert "same code" in page.text
        assert "Before go-live h" in page.text
        assert "2026-10-08" in page.text
        assert "No record fits" in dan.get("/adopt", words="nowhere").text
        assert dan.send("/adopt/link", reason="so").status_code == 409
        assert dan.send("/adopt/link", reason="so", pick="[1").status_code == 409
        assert dan.send("/adopt/link", reason="so", pick=picks["12"]).status_code == 409
        linked = dan.send("/adopt/link", reason="so", pick=picks["11"])
        assert linked.headers["location"] == "/adopt?done=linked"
        assert dan.send("/adopt/leave", reason="not ours", pick=picks["21"]).status_code == 303
        (left,) = _picks(dan.get("/adopt", sure="left")).values()
        assert "dan left it: not ours" in dan.get("/adopt", sure="left").text
        assert dan.send("/adopt/again", reason="it is", pick=left).status_code == 303
        assert set(_picks(dan.get("/adopt"))) == {"12", "21"}
        assert dan.send("/adopt/link", reason="so", pick=picks["11"]).status_code == 409

    def test_links_all_that_are_sure_as_they_were_shown(self, records: House) -> None:
        dan = records.browser("dan")
        (shown,) = re.findall(r'name="shown" value="([\d.]+)"', dan.get("/adopt").text)

        assert dan.send("/adopt/sure", reason="so", shown="0.1").status_code == 409
        assert dan.send("/adopt/sure", reason="so", shown=shown).status_code == 303
        assert "Link all" not in dan.get("/adopt").text
        (row,) = records.rows(
            "SELECT our_id FROM crosswalk WHERE connection_key = 'clock' AND source_ref = '11'"
        )
        assert row["our_id"] == records.other_project["project_id"]

    def test_says_as_of_when_it_is_and_is_proposed_again(self, records: House) -> None:
        dan = records.browser("dan")
        before = dan.get("/adopt").text

        again = dan.send("/adopt/propose")
        after = dan.get("/adopt").text

        assert f'datetime="{NOW.isoformat()}"' in before
        assert again.headers["location"] == "/adopt?done=proposing"
        assert "0 of 5 kinds are done" in after
        assert 'hx-trigger="every 2s"' in after
        assert 'hx-trigger="every 2s"' not in before

    def test_takes_a_corrected_spreadsheet_back(self, records: House) -> None:
        dan = records.browser("dan")
        rows = read_sheet(dan.get("/adopt.xlsx", system="clock").content, name=SHEET)[1:]
        by_ref = {row[2]: [*row, *[""] * (len(HEADER) - len(row))] for row in rows}
        by_ref["12"][8], by_ref["12"][10] = "P-DE", "link"
        by_ref["21"][10] = "leave"
        content = _sheet(list(by_ref.values()))

        checked = _upload(dan, content, "check")
        before = len(_picks(dan.get("/adopt")))
        done = _upload(dan, content, "adopt")

        assert "would link 2 and leave 1" in checked.text
        assert before == 3
        assert "2 linked, 1 left without a link" in done.text
        assert "Every record that was read is linked" in dan.get("/adopt").text
        assert "2 linked" not in _upload(dan, content, "adopt").text
        assert _upload(dan, b"PK and no more", "adopt").status_code == 409
        assert _upload(records.browser("eve"), content, "adopt").status_code == 403
        assert dan.send("/adopt/sheet", reason="so").status_code == 409
        nobody = records.browser()
        refused = nobody.client.post("/adopt/sheet", files={"sheet": ("a.xlsx", content, _XLSX)})
        assert refused.status_code == 415
