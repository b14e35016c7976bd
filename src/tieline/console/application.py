"""One web application: the API for machines, and in front of it the pages for people."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import iter_route_contexts
from fastapi.staticfiles import StaticFiles
from psycopg import errors as database_errors
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from tieline.api import create_api
from tieline.api.gate import Refused
from tieline.console import (
    adopt,
    approvals,
    changes,
    close,
    connections,
    delivery,
    drift,
    early,
    entrance,
    exceptions,
    guide,
    handover,
    import_files,
    missing,
    overview,
    periods,
    same_client,
    seen,
    sign_in,
    terms,
    trace,
    what_if,
)
from tieline.console.assets import Assets
from tieline.console.entrance import Entrance
from tieline.console.gate import FormGate
from tieline.console.problems import LoginNeeded, PageProblem
from tieline.console.rendering import Headers, Renderer
from tieline.console.sessions import Door
from tieline.kernel.errors import TielineError, UserMistake
from tieline.services.sign_in import sign_in_of
from tieline.services.system import System

_STATIC = Path(__file__).parent / "static"
_LOGIN = "/login"


class FrontDoor:
    """Hand an address to the API where it knows it, else to the pages."""

    def __init__(self, *, api: FastAPI, pages: ASGIApp, is_under_tls: bool) -> None:
        self._api = api
        self._pages = pages
        self.is_under_tls = is_under_tls
        # Its description would tell as well, but takes most of a second to write.
        self._of_api = {_first_word(str(each.path)) for each in iter_route_contexts(api.routes)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.is_under_tls and scope["type"] == "http":
            # People come through a proxy that speaks TLS: cookies are for TLS alone.
            scope["scheme"] = "https"
        if scope["type"] == "http" and _first_word(scope["path"]) not in self._of_api:
            await self._pages(scope, receive, send)
            return
        await self._api(scope, receive, send)


def create_web(system: System, *, assets: Assets) -> FrontDoor:
    """Return the API and the console as one application."""
    return FrontDoor(
        api=create_api(system),
        pages=create_pages(system, assets=assets),
        is_under_tls=system.settings.web_url.startswith("https:"),
    )


def create_pages(system: System, *, assets: Assets) -> ASGIApp:
    """Return the pages of one installation."""
    pages = FastAPI(title="Tieline console", openapi_url=None, docs_url=None, redoc_url=None)
    door = Door(system=system)
    renderer = Renderer(
        assets=assets, clock=system.clock, environment=system.settings.environment.name
    )
    pages.add_middleware(FormGate, refuse=_refusal(renderer), uploads=(adopt.UPLOAD_PATH,))
    _answer_problems(pages, renderer)
    way_in = Entrance(
        system=system,
        door=door,
        renderer=renderer,
        provider=sign_in_of(system.settings, database=system.web_database, pepper=system.pepper),
    )
    entrance.add_routes(pages, entrance=way_in)
    sign_in.add_routes(pages, entrance=way_in)
    overview.add_routes(pages, system=system, door=door, renderer=renderer)
    handover.add_routes(pages, system=system, door=door, renderer=renderer)
    import_files.add_routes(pages, system=system, door=door, renderer=renderer)
    exceptions.add_routes(pages, system=system, door=door, renderer=renderer)
    same_client.add_routes(pages, system=system, door=door, renderer=renderer)
    early.add_routes(pages, system=system, door=door, renderer=renderer)
    adopt.add_routes(pages, system=system, door=door, renderer=renderer)
    delivery.add_routes(pages, system=system, door=door, renderer=renderer)
    missing.add_routes(pages, system=system, door=door, renderer=renderer)
    periods.add_routes(pages, door=door, renderer=renderer)
    close.add_routes(pages, system=system, door=door, renderer=renderer)
    changes.add_routes(pages, system=system, door=door, renderer=renderer)
    trace.add_routes(pages, system=system, door=door, renderer=renderer)
    what_if.add_routes(pages, system=system, door=door, renderer=renderer)
    connections.add_routes(pages, system=system, door=door, renderer=renderer)
    drift.add_routes(pages, system=system, door=door, renderer=renderer)
    seen.add_routes(pages, system=system, renderer=renderer)
    guide.add_routes(pages, door=door, renderer=renderer)
    terms.add_routes(pages, system=system, door=door, renderer=renderer)
    approvals.add_routes(pages, system=system, door=door, renderer=renderer)
    pages.mount("/static", StaticFiles(directory=_STATIC))
    if assets.folder is not None:
        pages.mount(f"/assets/{assets.digest}", StaticFiles(directory=assets.folder))
    # Outside of everything, so that a page about a defect carries them too.
    return Headers(pages)


def _answer_problems(pages: FastAPI, renderer: Renderer) -> None:
    log = structlog.get_logger()

    def page(request: Request, *, status: int, title: str, sentence: str) -> Response:
        return renderer.page(
            request, None, "problem.html", status=status, title=title, sentence=sentence
        )

    @pages.exception_handler(LoginNeeded)
    def log_in(request: Request, error: LoginNeeded) -> Response:
        if request.headers.get("HX-Request"):
            # A part of a page: the whole page goes to the login, not the part.
            return Response(status_code=401, headers={"HX-Redirect": _LOGIN})
        # By no host: the one that a caller names need not be ours.
        back = "" if error.back_to == "/" else f"?{urlencode({'next': error.back_to})}"
        return RedirectResponse(f"{_LOGIN}{back}", status_code=303)

    @pages.exception_handler(PageProblem)
    def say(request: Request, error: PageProblem) -> Response:
        return page(request, status=error.status, title=error.title, sentence=error.sentence)

    @pages.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        places = "; ".join(
            f"{found['loc'][-1]}: {found['msg'].removeprefix('Value error, ')}"
            for found in error.errors()[:5]
        )
        return page(request, status=422, title="That cannot be read", sentence=places)

    @pages.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        known = {404: "There is no such page.", 405: "This page cannot be asked that way."}
        return page(
            request,
            status=error.status_code,
            title="Not found" if error.status_code == 404 else "That did not work",
            sentence=known.get(error.status_code, str(error.detail)),
        )

    @pages.exception_handler(TielineError)
    def refused(request: Request, error: TielineError) -> Response:
        status = 409 if isinstance(error, UserMistake) else 503
        return page(request, status=status, title="That was not done", sentence=str(error))

    @pages.exception_handler(database_errors.IntegrityError)
    def against_the_rules(request: Request, error: database_errors.IntegrityError) -> Response:
        sentence = error.diag.message_primary or "The database refused it."
        return page(request, status=409, title="That was not done", sentence=sentence)

    @pages.exception_handler(database_errors.OperationalError)
    @pages.exception_handler(PoolTimeout)
    def away(request: Request, error: Exception) -> Response:
        log.warning("console.database_away", path=request.url.path, error=type(error).__name__)
        answer = page(
            request,
            status=503,
            title="The database does not answer",
            sentence="Nothing was changed. It is tried again when you load the page again.",
        )
        answer.headers["Retry-After"] = "2"
        return answer

    @pages.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        log.error("console.page_failed", path=request.url.path, exc_info=error)
        return page(
            request,
            status=500,
            title="Something is broken",
            sentence="The page could not be made. Nothing was changed; the log has the reason.",
        )


def _refusal(renderer: Renderer) -> Callable[[Request, Refused], Response]:
    def refuse(request: Request, error: Refused) -> Response:
        return renderer.page(
            request,
            None,
            "problem.html",
            status=error.status,
            title="That cannot be read",
            sentence=error.detail,
        )

    return refuse


def _first_word(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""
