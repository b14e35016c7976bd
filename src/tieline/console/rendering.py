"""Templates, what every page shows, and the headers every answer carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import Any
from urllib.parse import urlencode

from fastapi.requests import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tieline.casework import Cause
from tieline.console import words
from tieline.console.assets import Assets
from tieline.console.sessions import THEME_COOKIE, THEMES, Visitor
from tieline.console.tie_out import Entity
from tieline.console.workbook import About, Sheet, download, make_workbook
from tieline.governance import list_proposals
from tieline.kernel import wording
from tieline.kernel.clock import Clock

ROWS_PER_PAGE = 25
_NAVIGATION = (
    ("/", "Overview"),
    ("/missing", "Missing time"),
    ("/handover", "Hand-over"),
    ("/early", "Early look"),
    ("/exceptions", "Exceptions"),
    ("/delivery", "Delivery"),
    ("/close", "Close"),
    ("/changes", "Changes"),
    ("/trace", "Trace"),
    ("/what-if", "What if"),
    ("/adopt", "Adopt"),
    ("/connections", "Connections"),
    ("/approvals", "Approvals"),
    ("/guide", "Guide"),
)
# They hold for the whole firm, and are no page for who sees a part of it.
_OF_THE_FIRM = ("/what-if", "/adopt")
_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Which page of how many, and the addresses of its neighbors."""

    page: int
    total: int
    path: str
    filters: Mapping[str, str]

    @property
    def offset(self) -> int:
        return (self.page - 1) * ROWS_PER_PAGE

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // ROWS_PER_PAGE))

    @property
    def query(self) -> str:
        """Return the filters as an address carries them."""
        return urlencode({name: value for name, value in self.filters.items() if value})

    def address(self, page: int) -> str:
        """Return the address of a page under the same filters."""
        return f"{self.path}?{self.query}{'&' if self.query else ''}page={page}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """Turn what a page found into HTML."""

    assets: Assets
    clock: Clock
    environment: str
    _templates: Environment = field(init=False, repr=False)

    def __post_init__(self) -> None:
        templates = Environment(
            loader=PackageLoader("tieline.console", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters.update(
            hours=wording.hours,
            money=wording.money,
            when=wording.when,
            until=wording.until,
            span=wording.span,
            said=words.said,
            reason=words.reason,
            spoken=words.spoken,
            is_some=lambda amount: Decimal(amount) != 0,
            pairs=_pairs,
            day_before=_day_before,
            entity_pairs=_entity_pairs,
            causes_of=_causes_of,
        )
        templates.globals.update(
            words=words,
            navigation=_NAVIGATION,
            of_the_firm=_OF_THE_FIRM,
            vendor=f"/assets/{self.assets.digest}" if self.assets.folder else None,
            asset_notice=self.assets.notice,
            environment=self.environment,
            release=version("tieline"),
        )
        object.__setattr__(self, "_templates", templates)

    def page(
        self,
        request: Request,
        visitor: Visitor | None,
        template: str,
        *,
        status: int = 200,
        **found: Any,
    ) -> HTMLResponse:
        """Answer with a page."""
        theme = request.cookies.get(THEME_COOKIE, "")
        text = self._templates.get_template(template).render(
            path=request.url.path,
            here=_address(request),
            visitor=visitor,
            theme=theme if theme in THEMES else "",
            done=words.DONE.get(request.query_params.get("done", ""), ""),
            now=self.now,
            **found,
        )
        return HTMLResponse(text, status_code=status)

    def file(
        self,
        visitor: Visitor,
        *,
        name: str,
        title: str,
        filters: Mapping[str, str],
        sheets: Sequence[Sheet],
        notes: Sequence[str] = (),
    ) -> Response:
        """Answer with the tables of a page as a spreadsheet, under the filters of the page.

        :raises UserMistake: a table has more rows than a file should hold.
        """
        about = About(title=title, as_of=self.now, by=visitor.login, filters=filters, notes=notes)
        return download(name=name, content=make_workbook(about=about, sheets=sheets))

    @property
    def now(self) -> datetime:
        return self.clock.now()


def back_to(address: str, *, done: str) -> RedirectResponse:
    """Send the browser to a page that says what was done."""
    sign = "&" if "?" in address else "?"
    return RedirectResponse(f"{address}{sign}{urlencode({'done': done})}", status_code=303)


def waiting_proposals(connection: Any, *, object: str) -> list[Any]:
    """Return what waits for a second person about one thing."""
    return list(list_proposals(connection, object=object))


def _pairs(values: Iterable[str], among: Mapping[str, str]) -> list[tuple[str, str]]:
    # Words of ours are spoken; what people called things stays as it is.
    return [(value, words.spoken(value, among) if among else value) for value in values]


def _day_before(day: date) -> date:
    # Periods are half-open; people say the last day.
    return day - timedelta(days=1)


def _entity_pairs(entities: Iterable[Entity]) -> list[tuple[str, str]]:
    return [(each.entity_code, each.name) for each in entities]


def _causes_of(causes: Iterable[Cause]) -> list[tuple[str, str]]:
    codes = {cause.reason: words.reason(cause.reason) for cause in causes}
    return sorted(codes.items(), key=lambda pair: pair[1])


class Headers:
    """Add the headers that keep pages ours: no foreign script, no frame, no copy in a cache."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                is_asset = scope["path"].startswith(("/assets/", "/static/"))
                headers["cache-control"] = "public, max-age=3600" if is_asset else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _address(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
