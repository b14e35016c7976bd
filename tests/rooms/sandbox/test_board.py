"""The board: a deed has its effect at the vendor, and a page tells it without believing anybody."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.rooms.sandbox.conftest import Vendor
from tests.rooms.sandbox.serving import serving

from tieline.sandbox.board import Deeds, Door, ErpDoor, read_occasions
from tieline.sandbox.board.mailbox import Mailbox
from tieline.sandbox.board.pages import Pages
from tieline.sandbox.board.server import Board
from tieline.sandbox.faults import FaultInjector
from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_board import plan_board
from tieline.sandbox.front import Front, plain_error
from tieline.sandbox.process import SandboxClock
from tieline.sandbox.wire import Request, Response, json_response

_TOKEN = {"X-Sandbox-Token": "control"}
_NASTY = "<script>alert(\"Müller & 'Söhne'\")</script>"
_CHROMIUM = shutil.which("chromium")
_FORM_TOKEN = re.compile(r'name="token" value="([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """A board before its vendors; ``erp`` is what stands behind the front."""

    board: httpx.Client
    mailbox: Mailbox
    erp: httpx.Client
    crm: Vendor
    time_tool: Vendor
    folder: Path

    def do(self, code: str, choice: str = "") -> httpx.Response:
        return self.board.post(f"/_sandbox/deeds/{code}", json={"choice": choice}, headers=_TOKEN)

    def press(self, code: str, choice: str = "", **fields: str) -> httpx.Response:
        found = _FORM_TOKEN.search(self.board.get("/").text)
        assert found is not None
        form = {"token": found.group(1), "choice": choice, **fields}
        return self.board.post(f"/deeds/{code}", data=form)

    def choices(self, code: str) -> list[str]:
        told = self.board.get("/_sandbox/deeds", headers=_TOKEN).json()["deeds"]
        found: list[str] = next(deed["choices"] for deed in told if deed["code"] == code)
        return found

    def plan(self, **occasions: object) -> httpx.Response:
        return self.board.post("/_sandbox/occasions", json=occasions, headers=_TOKEN)


async def _take(request: Request) -> Response:
    return json_response({"result": request.body.decode()})


@pytest.fixture
def world(crm: Vendor, time_tool: Vendor, tmp_path: Path) -> Iterator[_World]:
    clock = SandboxClock(now=datetime(2026, 11, 3, 13, 56, tzinfo=UTC))
    time_tool.do("clock", {"now": clock.now().isoformat()})
    front = Front(
        answer=_take,
        injector=FaultInjector(name="erp", plan={}, log=None),
        control_token="control",
        error_answer=plain_error,
    )
    mailbox = Mailbox(now=clock.now)
    console = tmp_path / "console.json"
    console.write_text('{"url": "http://127.0.0.1:1"}')

    def door(name: str, url: object) -> Door:
        return Door(name=name, url=str(url), token="control")

    with serving(front.deliver) as way:
        board = Board(
            deeds=Deeds(
                hubspot=door("the CRM", crm.control.base_url),
                harvest=door("the time tool", time_tool.control.base_url),
                front=door("the way to the ERP", way),
                erp=ErpDoor(url="http://127.0.0.1:1", database="erp", password="none"),
                now=clock.now,
            ),
            mailbox=mailbox,
            clock=clock,
            pages=Pages(form_token="form"),
            control_token="control",
            places={"Console": console, "Tryton": "http://127.0.0.1:2"},
        )
        with (
            serving(board.deliver) as address,
            httpx.Client(base_url=address) as people,
            httpx.Client(base_url=way) as erp,
        ):
            yield _World(
                board=people,
                mailbox=mailbox,
                erp=erp,
                crm=crm,
                time_tool=time_tool,
                folder=tmp_path / "agency",
            )


class TestADeed:
    def test_wins_a_deal_that_is_open(self, world: _World, firm: Firm) -> None:
        loaded = world.crm.do("load", firm.hubspot_load())
        waiting = world.choices("win")

        done = world.do("win", waiting[0])

        deal_id = loaded["ids"]["deals"][waiting[0]]
        deal = world.crm.api.get(
            f"/crm/v3/objects/deals/{deal_id}", params={"properties": "dealstage"}
        )
        assert done.json()["said"].startswith("Won: ")
        assert deal.json()["properties"]["dealstage"] == "closedwon"
        assert world.choices("win") == waiting[1:]
        assert world.do("win", waiting[0]).status_code == 422

    def test_approves_a_week_edits_and_deletes_and_nothing_else(self, world: _World) -> None:
        ids = _with_hours(world.time_tool)
        world.plan(
            edits=[{"entry": "posted", "hours": "4.50", "note": "6 h becomes 4.50 h"}],
            deletes=[{"entry": "late", "note": "late hours"}],
        )
        entry = "/time_entries/{}".format
        weeks = world.choices("approve")

        said = [
            world.do(code, choice).json()["said"]
            for code, choice in (("approve", weeks[0]), ("edit", "posted"), ("delete", "late"))
        ]

        assert weeks == ["2026-10-19", "2026-10-26"]
        assert said == [
            "2 entries approved.",
            "Changed: 6 h becomes 4.50 h.",
            "Deleted: late hours.",
        ]
        get = world.time_tool.api.get
        told = {key: get(entry(ref)) for key, ref in ids.items()}
        assert told["late"].status_code == 404
        assert {
            key: (answer.json()["hours"], answer.json()["is_locked"])
            for key, answer in told.items()
            if key != "late"
        } == {
            "monday": (8, True),
            "sunday": (2, True),
            "next": (3, False),
            "future": (1, False),
            "posted": (4.5, True),
        }
        assert world.choices("approve") == weeks[1:]
        assert (world.choices("edit"), world.choices("delete")) == ([], [])

    def test_loses_five_answers_to_hours_and_no_other(self, world: _World) -> None:
        world.do("lose")
        lost = 0

        assert world.erp.post("/rpc", content="model.project.work.create").status_code == 200
        for _ in range(6):
            try:
                world.erp.post("/rpc", content="model.timesheet.line.create")
            except httpx.RemoteProtocolError:
                lost += 1

        assert lost == 5
        assert "5 of 5 are lost so far." in world.board.get("/").text

    def test_takes_the_erp_away_and_it_comes_back(self, world: _World) -> None:
        world.do("away")
        away = world.erp.get("/_sandbox/away", headers=_TOKEN).json()["seconds_left"]
        told = world.erp.post("/rpc", content="x").status_code

        world.erp.post("/_sandbox/away", json={"seconds": 0}, headers=_TOKEN)

        assert (told, 0 < away <= 30) == (503, True)
        assert "Calls turned away so far: 1." in world.board.get("/").text
        assert world.erp.post("/rpc", content="x").status_code == 200
        assert world.erp.get("/_sandbox/away", headers=_TOKEN).json()["turned_away"] == 1
        for seconds in (-1, 601, "x", None):
            body = {"seconds": seconds}
            assert world.erp.post("/_sandbox/away", json=body, headers=_TOKEN).status_code == 422

    def test_drops_a_file_twice_under_two_names(self, world: _World) -> None:
        assert world.choices("file") == []
        world.plan(
            file={
                "directory": str(world.folder),
                "name": "agency.csv",
                "content": "a;b\nü;1\n",
                "note": "two lines",
            }
        )

        assert world.do("file").status_code == 200

        dropped = {path.name: path.read_text() for path in world.folder.iterdir()}
        assert dropped == dict.fromkeys(("agency.csv", "agency-again.csv"), "a;b\nü;1\n")

    def test_is_not_planned_from_what_cannot_be_read(self, world: _World) -> None:
        for occasions in (
            {"zone": "Nowhere/Land"},
            {"zone": "../../etc"},
            {"edits": [{"entry": "e"}]},
            {"edits": [{"entry": "e", "hours": "x", "note": ""}]},
            {"months": ["2026-13-01"]},
            {"file": {"directory": "/", "name": "../etc.csv", "content": "", "note": ""}},
            {"deals": 7},
        ):
            answer = world.plan(**occasions)

            assert (answer.status_code, "occasions: " in answer.json()["message"]) == (422, True)


class TestWhatTheFirmPlans:
    def test_is_about_hours_that_nothing_else_touches(self, firm: Firm, tmp_path: Path) -> None:
        plan = plan_board(firm, agency_directory=tmp_path)

        touched = {mistake.ref for mistake in firm.mistakes}
        touched |= {change.entry_key for change in firm.later_changes}
        chosen = [plan["edits"][0]["entry"], plan["deletes"][0]["entry"]]
        entries = {entry.key: entry for entry in firm.entries}
        assert not touched & set(chosen)
        assert len({entries[key].project_code for key in chosen}) == 2
        assert read_occasions(plan).edits[0].hours < entries[chosen[0]].hours


class TestThePage:
    def test_shows_what_it_is_told_as_text_only(self, world: _World) -> None:
        world.crm.do(
            "load",
            {"deals": [{"key": "d", "properties": {"dealname": _NASTY, "amount": "5"}}]},
        )
        world.plan(deals=[{"deal": "d", "note": _NASTY}], city=_NASTY)

        pages = [world.board.get("/"), world.press("win", "d"), world.board.get("/?done=1")]

        assert [page.status_code for page in pages] == [200, 303, 200]
        assert pages[1].headers["location"] == "/?done=1#win"
        for page in (pages[0], pages[2]):
            assert "<script" not in page.text
            assert "&lt;script&gt;" in page.text
            assert page.headers["content-security-policy"].startswith("default-src 'none'")
            assert "http://127.0.0.1:1/handover" in page.text
        assert 'role="status">Won: &lt;script&gt;' in pages[2].text

    def test_refuses_a_form_that_is_not_its_own(self, world: _World) -> None:
        world.crm.do("load", {"deals": [{"key": "d", "properties": {"dealname": "One"}}]})
        sent = world.board.post

        refused = {
            "no token": sent("/deeds/win", data={"choice": "d"}),
            "a wrong token": world.press("win", "d", token="ü"),
            "another choice": world.press("win", "e"),
            "a NUL": world.press("win", "d\x00"),
            "an unknown deed": world.press("empty-the-bank"),
            "no form": sent("/deeds/win", json={"token": "form", "choice": "d"}),
            "bad bytes": sent(
                "/deeds/win",
                content=b"token=form&choice=%ff",
                headers={"content-type": "application/x-www-form-urlencoded"},
            ),
            "said twice": sent(
                "/deeds/win",
                content=b"token=form&choice=d&choice=e",
                headers={"content-type": "application/x-www-form-urlencoded"},
            ),
            "a huge form": world.press("win", "d" * 20_000),
            "a link": world.board.get("/deeds/win"),
            "a stray file": world.board.get("/static/../pages.py"),
            "no control token": sent("/_sandbox/deeds/win", json={"choice": "d"}),
        }

        assert {name: answer.status_code for name, answer in refused.items()} == {
            "no token": 403,
            "a wrong token": 403,
            "another choice": 409,
            "a NUL": 409,
            "an unknown deed": 404,
            "no form": 415,
            "bad bytes": 400,
            "said twice": 400,
            "a huge form": 413,
            "a link": 405,
            "a stray file": 404,
            "no control token": 401,
        }
        assert world.choices("win") == ["d"]

    def test_shows_a_mail_and_leads_from_it_into_the_console_only(self, world: _World) -> None:
        empty = world.board.get("/mail").text
        text = f"{_NASTY} http://127.0.0.1:1/missing http://elsewhere.example/ javascript:x"
        mail = f"Subject: <b>Time</b>\r\n\r\n{text}".encode()
        world.mailbox.take(mail, sender="t@x", recipients=("<i>@x",))

        listed, letter = world.board.get("/mail").text, world.board.get("/mail/1").text

        told = world.board.get("/_sandbox/mail", headers=_TOKEN).json()["mails"]
        assert "Nobody was sent anything yet" in empty
        assert '<a href="/mail/1">&lt;b&gt;Time&lt;/b&gt;</a>' in listed
        assert "13:56:00 UTC" in listed
        assert "<script" not in letter
        assert "&lt;i&gt;@x" in letter
        assert re.findall(r'href="(http[^"]*|javascript[^"]*)"', letter.partition("<main")[2]) == [
            "http://127.0.0.1:1/missing"
        ]
        assert [(each["to"], each["text"]) for each in told] == [(["<i>@x"], text)]
        assert world.board.get("/mail/2").status_code == 404
        assert world.board.get("/mail/<script>").status_code == 404

    @pytest.mark.slow
    @pytest.mark.skipif(_CHROMIUM is None, reason="there is no chromium on this machine")
    def test_is_pressed_by_keyboard_and_its_policy_refuses_nothing(self, world: _World) -> None:
        playwright = pytest.importorskip(
            "playwright.sync_api", reason="requirements/browser.txt is not installed"
        )
        world.crm.do("load", {"deals": [{"key": "d", "properties": {"dealname": _NASTY}}]})
        told: list[str] = []
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(color_scheme="dark")
            page.on("console", lambda message: told.append(message.text))
            page.on("pageerror", lambda error: told.append(str(error)))
            page.goto(str(world.board.base_url))
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.textContent")
            page.focus("#win select")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            page.wait_for_selector("[role=status]")
            said = page.inner_text("[role=status]")
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            browser.close()

        assert focused == "To the content"
        assert said.startswith(f"Won: {_NASTY}, without an amount.")
        assert ground == "rgb(18, 25, 36)"
        assert told == []
        assert world.choices("win") == []

    def test_stands_while_the_erp_does_not(self, world: _World) -> None:
        world.plan(months=["2026-10-01"])

        page = world.board.get("/")

        assert page.status_code == 200
        assert "the ERP says: " in page.text


def _with_hours(time_tool: Vendor) -> dict[str, int]:
    """Enter hours of two weeks, of which some wait for approval; return their ids by key."""
    loaded = time_tool.do(
        "load",
        {
            "users": [{"key": "u", "first_name": "A", "last_name": "B", "email": "a@b.example"}],
            "clients": [{"key": "c", "name": "C"}],
            "tasks": [{"key": "t", "name": "T"}],
        },
    )["ids"]
    project = time_tool.do(
        "load",
        {
            "projects": [
                {
                    "key": "p",
                    "client_id": loaded["clients"]["c"],
                    "name": "P",
                    "is_billable": True,
                    "bill_by": "none",
                    "budget_by": "none",
                }
            ]
        },
    )["ids"]["projects"]["p"]
    approved = {"is_locked": True, "locked_reason": "Item Approved and Locked"}
    days = {
        "monday": ("2026-10-19", 8, {}),
        "sunday": ("2026-10-25", 2, {}),
        "next": ("2026-10-26", 3, {}),
        "future": ("2026-12-01", 1, {}),
        "posted": ("2026-10-20", 6, approved),
        "late": ("2026-10-21", 7, approved),
    }
    entries = [
        {
            "key": key,
            "user_id": loaded["users"]["u"],
            "project_id": project,
            "task_id": loaded["tasks"]["t"],
            "spent_date": day,
            "hours": hours,
            **lock,
        }
        for key, (day, hours, lock) in days.items()
    ]
    ids: dict[str, int] = time_tool.do("entries", {"entries": entries})["ids"]
    return ids
