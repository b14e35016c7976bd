"""What does this mean, and what do I do? The operators' guide, read where the question comes up."""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tieline.console.problems import not_found
from tieline.console.rendering import Renderer
from tieline.console.sessions import Door, Visitor
from tieline.kernel.shipped import shipped

_PAGE = re.compile(r"[A-Za-z0-9-]{1,80}(/[A-Za-z0-9-]{1,80})?")
_PAGES_KEPT_MAX = 100
_FIRST = "operate/states"
CHAPTERS: Sequence[tuple[str, str]] = (
    ("operate/states", "States of a write"),
    ("operate/alarms", "Alarms"),
    ("operate/when-something-breaks", "When something breaks"),
    ("reference/reasons", "Reasons"),
    ("how-to/unconfirmed-writes", "Unconfirmed writes"),
    ("how-to/work-a-case", "Work a case"),
    ("how-to/close-a-month", "Close a month"),
    ("how-to/messages", "Messages"),
    ("how-to/checks-and-stops", "Checks and stops"),
    ("how-to/back-up-and-restore", "Back up and restore"),
    ("how-to/prove-it", "Prove it"),
    ("GLOSSARY", "Words"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidePage:
    """One page of the guide as HTML."""

    title: str
    html: str


def add_routes(pages: FastAPI, *, door: Door, renderer: Renderer) -> None:
    """Add the pages of the guide."""

    @pages.get("/guide")
    @pages.get("/guide/{name:path}")
    def guide(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        name: str = _FIRST,
    ) -> Response:
        found = read_page(name or _FIRST)
        if found is None:
            raise not_found("The guide has no such page.")
        return renderer.page(
            request, visitor, "guide.html", guide=found, name=name, chapters=CHAPTERS
        )


@lru_cache(maxsize=_PAGES_KEPT_MAX)
def read_page(name: str) -> GuidePage | None:
    """Return a page of the guide by its name without ``.md``, None when there is none."""
    if not _PAGE.fullmatch(name):
        return None
    folder = shipped("docs")
    path = folder / f"{name}.md"
    if not path.is_file():
        return None
    # The text is ours and holds anchors; the policy of the page runs no script whatever it holds.
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = reader.parse(path.read_text(encoding="utf-8"))
    seen: dict[str, int] = {}
    title = name
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            text = tokens[number + 1].content
            token.attrSet("id", _slug(text, seen))
            title = text if token.tag == "h1" else title
        for child in token.children or ():
            _lead(child, name=name, folder=folder)
    html = reader.renderer.render(tokens, reader.options, {})
    return GuidePage(title=title, html=str(html))


def _slug(text: str, seen: dict[str, int]) -> str:
    slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
    number = seen.get(slug, 0)
    seen[slug] = number + 1
    return f"{slug}-{number}" if number else slug


def _lead(token: Token, *, name: str, folder: Path) -> None:
    """Let a link lead to the page here; what is not part of the guide is only named."""
    if token.type != "link_open":
        return
    address = str(token.attrGet("href") or "")
    if "://" in address or address.startswith(("#", "mailto:")):
        return
    place, _, anchor = address.partition("#")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), place))
    page = target.removesuffix(".md")
    if target.endswith(".md") and _PAGE.fullmatch(page) and (folder / target).is_file():
        token.attrSet("href", f"/guide/{page}" + (f"#{anchor}" if anchor else ""))
    else:
        token.attrs.pop("href", None)
