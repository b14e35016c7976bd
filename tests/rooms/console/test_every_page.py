"""What holds on every page and in every file, whichever there are: the routes are asked, not a list."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser

from fastapi.routing import APIRoute

from .conftest import House

# They answer a browser on its way, or show a part of another page.
_NO_PAGES = {"/login", "/seen", "/overview/now"}
_ABOUT = ("As of (UTC)", "Made by", "Version")
_LABELED = ("input", "select", "textarea")
_UNSEEN = ("hidden", "submit")


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
                yield path


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


def test_every_file_says_what_it_is_and_computes_nothing(firm: House) -> None:
    dan = firm.browser("dan")
    files = [each for each in _addresses(firm) if each.endswith(".xlsx")]
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
