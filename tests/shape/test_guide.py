"""Every alarm, state and reason has its place in the operators' guide, and every link into it arrives."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from tieline.api.problems import problem_response
from tieline.console.guide import CHAPTERS, read_page
from tieline.kernel.errors import TielineError
from tieline.posting import states
from tieline.reconciliation import OWN_CHECKS

from .documents import read_document
from .reference import words
from .source_words import ROOT, SOURCE, read_names, read_statement_reasons

_DOCS = ROOT / "docs"
_PAGES = sorted(
    str(path.relative_to(_DOCS)).removesuffix(".md")
    for path in _DOCS.rglob("*.md")
    if len(path.relative_to(_DOCS).parts) <= 2
)
_ID = re.compile(r'<(?:h\d|a) id="([^"]+)"')
_HREF = re.compile(r'href="/guide/([\w/-]+)(?:#([\w.-]+))?"')
_STATES = (
    states.PLANNED, states.INTENT, states.UNKNOWN, states.PROBING, states.CONFIRMED, states.REJECTED,
    states.ABSENT, states.CONFLICT, states.WITHDRAWN,
)  # fmt: skip


def _incidents() -> set[str]:
    """Collect the reasons of the cases that are opened as incidents."""
    found: set[str] = set(OWN_CHECKS)
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "is_incident=True" not in text:
            continue
        module = importlib.import_module(
            "tieline." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        )
        for call in ast.walk(ast.parse(text)):
            if isinstance(call, ast.Call) and any(
                word.arg == "is_incident" for word in call.keywords
            ):
                (reason,) = [word.value for word in call.keywords if word.arg == "reason"]
                found |= {
                    value
                    for part in ast.walk(reason)
                    if isinstance(value := _value(part, module), str) and "." in value
                }
    return found


def _value(part: ast.AST, module: object) -> object:
    if isinstance(part, ast.Constant):
        return part.value
    return getattr(module, part.id, None) if isinstance(part, ast.Name) else None


def _ids(name: str) -> set[str]:
    page = read_page(name)
    assert page is not None, name
    return set(_ID.findall(page.html))


class TestTheGuide:
    def test_has_a_place_for_each_reason(self) -> None:
        named = read_names().reasons | read_statement_reasons() | set(words()["composed"])

        assert named - read_document(_DOCS / "reference" / "reasons.md").anchors == set()

    def test_has_a_place_for_each_state_of_a_write(self) -> None:
        anchors = read_document(_DOCS / "operate" / "states.md").anchors

        assert {state.lower() for state in _STATES} - anchors == set()

    def test_has_a_place_for_each_incident(self) -> None:
        found = _incidents()

        assert len(found) > len(OWN_CHECKS)
        assert found - read_document(_DOCS / "operate" / "alarms.md").anchors == set()

    @pytest.mark.parametrize("name", _PAGES)
    def test_is_read_inside_the_console_with_links_that_arrive(self, name: str) -> None:
        page = read_page(name)

        assert page is not None
        assert page.html.count("<h1") == 1
        assert [
            (target, anchor)
            for target, anchor in _HREF.findall(page.html)
            if (anchor and anchor not in _ids(target)) or read_page(target) is None
        ] == []

    def test_is_reached_from_pages_that_lead_into_it(self) -> None:
        templates = (SOURCE / "console" / "templates").glob("*.html")
        links = {
            link for path in templates for link in _HREF.findall(path.read_text(encoding="utf-8"))
        }

        assert len(links) >= 3
        assert [link for link in links if link[1] and link[1] not in _ids(link[0])] == []
        assert [name for name, _ in CHAPTERS if read_page(name) is None] == []

    def test_is_what_a_problem_leads_to(self) -> None:
        answer = problem_response(status=409, code=TielineError.code, detail="no")

        assert answer.headers["link"] == '</guide/reference/reasons#tieline.error>; rel="help"'

    @pytest.mark.parametrize("name", ["../README", "operate/nothing", "a/b/c", "/etc/passwd", ""])
    def test_shows_nothing_else(self, name: str) -> None:
        assert read_page(name) is None
