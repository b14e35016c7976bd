"""What a person sees of a page: its words, its rows and the deeds it offers; by a browser, or from the HTML alone."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.util import find_spec
from typing import Any, Protocol
from xml.etree import ElementTree

import httpx

CHROMIUM = shutil.which("chromium") if find_spec("playwright") else None
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_SEEN = """() => ({
    text: document.body.innerText,
    rows: [...document.querySelectorAll("tbody tr")].map(row => row.innerText),
    links: Object.fromEntries([...document.querySelectorAll("a[href]")].map(
        each => [each.innerText, each.getAttribute("href")]).reverse()),
    deeds: [...document.querySelectorAll("form[method=post]")].map(each => each.getAttribute("action")).concat(
        [...document.querySelectorAll("form[method=post] button[formaction]:not([formmethod=get])")].map(
            each => each.getAttribute("formaction"))),
})"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page as it is read: all of its words, each row of its tables, what its links say, what may be sent."""

    text: str
    rows: tuple[str, ...]
    links: dict[str, str]
    deeds: frozenset[str]

    def row(self, *words: str) -> str:
        """Return the one row that has all of these words."""
        found = [row for row in self.rows if all(word in row for word in words)]
        assert len(found) == 1, (words, found or self.text)
        return found[0]

    def says(self, *words: str) -> None:
        """Hold that the page says all of this."""
        for each in words:
            assert each in self.text, (each, self.text)


class Eyes(Protocol):
    """Somebody who is logged in, looks at pages, and sends what they offer."""

    def open(self, address: str) -> Page: ...

    def send(self, address: str, /, **fields: str) -> Page: ...

    def file(self, address: str, *, sheet: int) -> list[dict[str, str]]: ...


@dataclass(slots=True, kw_only=True)
class Reader:
    """Read the served HTML, and send forms as a browser would."""

    client: httpx.Client
    _csrf: dict[str, dict[str, str]] = field(default_factory=dict)

    def open(self, address: str) -> Page:
        return self._read(self.client.get(address))

    def send(self, address: str, /, **fields: str) -> Page:
        return self._read(self.client.post(address, data={**self._csrf[address], **fields}))

    def file(self, address: str, *, sheet: int) -> list[dict[str, str]]:
        return _sheet_of(_must(self.client.get(address)).content, sheet)

    def _read(self, answer: httpx.Response) -> Page:
        parser = _Parser()
        parser.feed(_must(answer).text)
        self._csrf = parser.forms
        return Page(
            text=_plain(parser.text),
            rows=tuple(map(_plain, parser.rows)),
            links={_plain(text): href for text, href in reversed(parser.links)},
            deeds=frozenset(parser.deeds),
        )


@dataclass(slots=True, kw_only=True)
class Browser:
    """Look through a browser, where style sheets hide and scripts draw; ``told`` is what it complained of."""

    page: Any
    address: str
    told: list[str]

    def open(self, address: str) -> Page:
        answer = self.page.goto(self.address + address)
        assert answer.ok, (address, answer.status)
        return self._read()

    def send(self, address: str, /, **fields: str) -> Page:
        form = self.page.locator(f'form[method=post][action="{address}"]').first
        for name, value in fields.items():
            place = form.locator(f'[name="{name}"]').first
            if place.evaluate("each => each.tagName") == "BUTTON":
                form = form.locator(f'[name="{name}"][value="{value}"]')
            elif place.get_attribute("type") == "radio":
                form.locator(f'[name="{name}"][value="{value}"]').check()
            elif place.get_attribute("type") != "hidden":
                place.fill(value)
        button = (
            form
            if form.evaluate("each => each.tagName") == "BUTTON"
            else form.locator("button").first
        )
        with self.page.expect_navigation():
            button.click()
        return self._read()

    def file(self, address: str, *, sheet: int) -> list[dict[str, str]]:
        answer = self.page.request.get(self.address + address)
        assert answer.ok, (address, answer.status)
        return _sheet_of(answer.body(), sheet)

    def _read(self) -> Page:
        seen = self.page.evaluate(_SEEN)
        return Page(
            text=_plain(seen["text"]),
            rows=tuple(map(_plain, seen["rows"])),
            links={_plain(text): href for text, href in seen["links"].items()},
            deeds=frozenset(seen["deeds"]),
        )


@contextmanager
def reading(address: str, *, login: str, password: str) -> Iterator[Reader]:
    """Log somebody in without a browser."""
    with httpx.Client(base_url=address, follow_redirects=True, timeout=60) as client:
        reader = Reader(client=client)
        reader.open("/login")
        reader.send("/login", login=login, password=password)
        yield reader


@contextmanager
def browsing(chromium: Any, address: str, *, login: str, password: str) -> Iterator[Browser]:
    """Log somebody in through a browser of their own, by keyboard."""
    context = chromium.new_context()
    page = context.new_page()
    browser = Browser(page=page, address=address, told=[])
    page.on("console", lambda message: browser.told.append(message.text))
    page.on("pageerror", lambda error: browser.told.append(str(error)))
    page.goto(f"{address}/login")
    page.keyboard.type(login)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    yield browser
    context.close()


class _Parser(HTMLParser):
    """Gather words, rows, links and forms of a page."""

    _APART = frozenset({"script", "style", "title", "option"})

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.rows: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.deeds: list[str] = []
        self.forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] | None = None
        self._link: str | None = None
        self._link_from = 0
        self._row_from: int | None = None
        self._apart = 0
        self._is_body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.text += " "
        match tag:
            case "tbody":
                self._is_body = True
            case "tr" if self._is_body:
                self._row_from = len(self.text)
            case "a" if "href" in has:
                self._link, self._link_from = has["href"], len(self.text)
            case "form" if has.get("method") == "post":
                self.deeds.append(has["action"])
                self._form = self.forms.setdefault(has["action"], {})
            case "input" if self._form is not None and has.get("type") == "hidden":
                self._form.setdefault(has["name"], has.get("value", ""))
            case "button" if self._form is not None and "formaction" in has:
                if has.get("formmethod") != "get":
                    self.deeds.append(has["formaction"])
                    self.forms.setdefault(has["formaction"], self._form)
            case "button" if self._form is not None and has.get("name") == "csrf":
                self._form.setdefault("csrf", has["value"])
            case _ if tag in self._APART:
                self._apart += 1
            case _:
                pass

    def handle_endtag(self, tag: str) -> None:
        self.text += " "
        match tag:
            case "tbody":
                self._is_body = False
            case "tr" if self._row_from is not None:
                self.rows.append(self.text[self._row_from :])
                self._row_from = None
            case "a" if self._link is not None:
                self.links.append((self.text[self._link_from :], self._link))
                self._link = None
            case "form":
                self._form = None
            case _ if tag in self._APART:
                self._apart -= 1
            case _:
                pass

    def handle_data(self, data: str) -> None:
        if not self._apart:
            self.text += data


def _must(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, (answer.status_code, str(answer.url), answer.text[-400:])
    return answer


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _sheet_of(content: bytes, sheet: int) -> list[dict[str, str]]:
    """Return the rows of a table, by the titles of its columns."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        root = ElementTree.fromstring(file.read(f"xl/worksheets/sheet{sheet}.xml"))
    rows = [
        {re.sub(r"\d", "", cell.get("r", "")): "".join(cell.itertext()) for cell in row}
        for row in root.iter(f"{_SHEET}row")
    ]
    titles, *others = rows
    return [{titles[place]: text for place, text in row.items()} for row in others]
