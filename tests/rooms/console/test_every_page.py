"""What holds on every page and in every file, whichever there are: the routes are asked, not a list."""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from fastapi.routing import APIRoute
from tests.rooms.casework.hand_made_firm import NOW

from tieline.console import rendering
from tieline.policy import draft_release

from .conftest import House

# They answer a browser on its way, or show a part of another page.
_NO_PAGES = {"/login", "/seen", "/overview/now"}
_ABOUT = ("As of (UTC)", "Made by", "Version")
_LABELED = ("input", "select", "textarea")
_UNSEEN = ("hidden", "submit")


# What one is about to do, or to choose from: it is shown once, and holds as it stands on the page.
_NO_FILES = {
    "again.html",
    "changes_preview.html",
    "drift_plan.html",
    "handover_plan.html",
    "import_file_preview.html",
    "same_client.html",
    "terms.html",
}
_LINK = re.compile(r'href="(/[^"#]*)')
_FILE = re.compile(r'href="([^"]+\.xlsx[^"]*)"')


def _texts(content: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        return "".join(
            book.read(name).decode()
            for name in book.namelist()
            if name.startswith("xl/worksheets/sheet")
        )


class _Page(HTMLParser):
    """Read what a reader without eyes, or without a mouse, would be told."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.mistakes: list[str] = []
        self.headings = 0
        self.landmarks: set[str] = set()
        self._ids: set[str] = set()
        self._labels = 0
        self._is_head = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.headings += tag == "h1"
        self.landmarks.add(tag)
        self._labels += tag == "label"
        name = told.get("id") or ""
        if name in self._ids:
            self.mistakes.append(f"two things are called {name}")
        self._ids |= {name} if name else set()
        if "style" in told or any(name.startswith("on") for name in told):
            self.mistakes.append(f"<{tag}> holds a style or a script of its own")
        if tag == "script" and "src" not in told and told.get("type") != "application/json":
            self.mistakes.append("a script stands in the page")
        self._is_head |= tag == "thead"
        # At the head of a table a header heads its column whether it says so or not.
        if tag == "th" and not self._is_head and told.get("scope") != "row":
            self.mistakes.append("a header says of nothing what it heads")
        if tag == "html" and not told.get("lang"):
            self.mistakes.append("the page has no language")
        if tag == "progress" and not told.get("aria-label"):
            self.mistakes.append("a bar says nothing")
        is_unlabeled = not self._labels and not told.get("aria-label")
        if tag in _LABELED and told.get("type") not in _UNSEEN and is_unlabeled:
            self.mistakes.append(f"<{tag} name={told.get('name')}> has no label")
        if "tabindex" in told and int(told["tabindex"] or 0) > 0:
            self.mistakes.append("the keyboard is led another way than the eye")

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"
        self._is_head &= tag != "thead"


def _addresses(firm: House) -> Iterator[str]:
    period_id = str(firm.periods["DE", "2026-10"])
    known = {
        "case_id": str(firm.case_id),
        "contract_id": str(firm.project["contract_id"]),
        "period_id": period_id,
        "name:path": "operate/states",
    }
    for route in firm.web._pages._app.routes:
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            path = route.path
            for name, value in known.items():
                path = path.replace(f"{{{name}}}", value)
            if "{" not in path and path not in _NO_PAGES:
                # One thing is traced, and asked for first.
                yield f"{path}?kind=hour&ref={firm.entry_id}" if "/trace" in path else path


def test_every_page_is_told_to_whoever_cannot_see_or_point(firm: House) -> None:
    dan = firm.browser("dan")
    wrong = []
    seen = 0

    for address in _addresses(firm):
        answer = dan.get(address)
        if "text/html" not in answer.headers.get("content-type", "") or answer.status_code != 200:
            continue
        seen += 1
        page = _Page(answer.text)
        wrong += [(address, mistake) for mistake in page.mistakes]
        if page.headings != 1:
            wrong.append((address, f"{page.headings} questions"))
        if not {"main", "nav", "header"} <= page.landmarks:
            wrong.append((address, "a landmark is missing"))
        policy = answer.headers["content-security-policy"]
        if "unsafe" in policy or "default-src 'none'" not in policy:
            wrong.append((address, "the policy of the page is open"))

    assert not wrong, wrong
    assert seen > 15


def test_no_page_leads_to_one_that_is_not_for_its_reader(firm: House) -> None:
    with firm.worker.transaction() as connection:
        release_id = draft_release(
            connection,
            title="stricter",
            rules=(),
            values=(),
            overrides=(),
            proposed_by="dan",
            reason="because",
            now=NOW,
        )
    ours, whole = firm.browser("ann"), firm.browser("dan")
    wrong, seen = [], 0

    for browser in (ours, whole):
        pages = _links(browser.get("/").text)
        for page in sorted(pages):
            for address in _links(browser.get(page).text) - pages:
                seen += 1
                if browser.get(address).status_code != 200:
                    wrong.append((page, address))

    assert wrong == []
    assert seen > 20
    assert {"/what-if", "/adopt"} <= _links(whole.get("/").text) - _links(ours.get("/").text)
    assert f"/what-if?draft={release_id}" in whole.get("/approvals").text
    assert 'action="/approvals/rules/' not in ours.get("/approvals").text


def _links(text: str) -> set[str]:
    found = {html.unescape(each) for each in _LINK.findall(text)}
    return {each for each in found if not each.startswith(("/static", "/assets", "/guide"))}


def test_every_page_in_the_navigation_answers_its_question_with_a_number(firm: House) -> None:
    dan = firm.browser("dan")
    overview = dan.get("/").text
    navigation = overview.partition('class="pages"')[2].partition("</nav>")[0]
    addresses = re.findall(r'<a href="([^"]+)"', navigation)
    # A guide is read, and a trace is of one thing that is asked for first.
    asked = [each for each in addresses if each not in ("/guide", "/trace")]

    without = [each for each in asked if 'class="number"' not in dan.get(each).text]

    assert len(asked) > 10
    assert without == []


def test_every_page_with_a_table_offers_it_as_a_spreadsheet() -> None:
    folder = Path(rendering.__file__).parent / "templates"
    texts = {each.name: each.read_text() for each in folder.glob("*.html")}
    without = {
        name
        for name, text in texts.items()
        if "<table" in text and "as_file(" not in text and "As a spreadsheet" not in text
    }

    assert without == _NO_FILES


def test_every_spreadsheet_that_a_page_offers_is_there(firm: House) -> None:
    dan = firm.browser("dan")
    offered: set[str] = set()

    for address in _addresses(firm):
        if ".xlsx" not in address and "/guide/" not in address:
            offered |= {html.unescape(each) for each in _FILE.findall(dan.get(address).text)}
    answers = {each: dan.get(each).status_code for each in offered}

    assert set(answers.values()) == {200}, answers
    assert len(offered) > 15


def test_a_file_holds_what_its_filters_leave(firm: House) -> None:
    dan = firm.browser("dan")

    both, one = (
        _texts(dan.get("/close.xlsx", period="-", entity=entity).content) for entity in ("", "DE")
    )

    assert "P-UK" in both
    assert "P-DE" in both
    assert "P-UK" not in one
    assert "P-DE" in one


def test_every_file_says_what_it_is_and_computes_nothing(firm: House) -> None:
    dan = firm.browser("dan")
    files = [each for each in _addresses(firm) if ".xlsx" in each]
    wrong = []

    for address in files:
        answer = dan.get(address)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as book:
            about, *tables = (
                book.read(name).decode()
                for name in sorted(book.namelist())
                if name.startswith("xl/worksheets/sheet")
            )
        wrong += [(address, word) for word in _ABOUT if word not in about]
        wrong += [(address, "computes") for each in tables if "<f>" in each]
        wrong += [(address, "moves its header") for each in tables if 'state="frozen"' not in each]

    assert wrong == []
    assert {"/delivery.xlsx", "/missing.xlsx", "/exceptions.xlsx", "/adopt.xlsx"} <= set(files)
