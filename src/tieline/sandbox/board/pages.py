"""The board's pages as HTML: no script, no asset of anybody else, everything told is escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tieline.sandbox.board.occasions import Occasions
from tieline.sandbox.wire import Response, text_response

_PACKAGE = "tieline.sandbox.board"
_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_STATIC: Mapping[str, str] = {"board.css": "text/css", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Turn what the board knows into answers."""

    form_token: str = field(repr=False)
    _templates: Environment = field(init=False, repr=False)

    def __post_init__(self) -> None:
        templates = Environment(
            loader=PackageLoader(_PACKAGE, "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters["pieces"] = _pieces
        templates.globals["form_token"] = self.form_token
        object.__setattr__(self, "_templates", templates)

    def page(
        self, template: str, *, occasions: Occasions, status: int = 200, **told: Any
    ) -> Response:
        """Render a page; instants are told on the firm's own clock."""

        def when(instant: datetime) -> str:
            return f"{instant.astimezone(occasions.zone):%H:%M:%S} {occasions.city}"

        html = self._templates.get_template(template).render(when=when, **told)
        return text_response(
            html, status=status, content_type="text/html; charset=utf-8", headers=_HEADERS
        )

    def static(self, name: str) -> Response | None:
        """Return a file of ours, or None."""
        if name not in _STATIC:
            return None
        text = files(_PACKAGE).joinpath("static", name).read_text(encoding="utf-8")
        return text_response(text, content_type=f"{_STATIC[name]}; charset=utf-8", headers=_HEADERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a mail's text; a link leads into the console and nowhere else."""

    text: str
    is_link: bool


def _pieces(text: str, console: str) -> list[Piece]:
    """Cut a text where an address of the console begins and ends."""
    if not console:
        return [Piece(text=text, is_link=False)]
    link = re.compile(rf"({re.escape(console)}/[!-~]*)")
    return [
        Piece(text=piece, is_link=number % 2 == 1) for number, piece in enumerate(link.split(text))
    ]


def led_to(address: str) -> Response:
    """Lead a browser on after a form."""
    return Response(status=303, headers={**_HEADERS, "location": address})
