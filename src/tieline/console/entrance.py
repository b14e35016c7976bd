"""Log in, log out, and choose between light and dark."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import RedirectResponse, Response

from tieline.console.fields import FormPassword, FormWord, QueryWord
from tieline.console.rendering import Renderer
from tieline.console.sessions import (
    BROWSER_COOKIE,
    FORM_COOKIE,
    SESSION_COOKIE,
    THEME_COOKIE,
    THEMES,
    Door,
    Visitor,
    new_form_key,
    safe_address,
    set_browser_cookie,
    set_cookie,
)
from tieline.governance import (
    Person,
    authenticate,
    browser_hash,
    end_session,
    is_known,
    open_session,
    remember_browser,
)
from tieline.services.sign_in import SignIn
from tieline.services.system import System

_WRONG = "That login and password do not belong together, or the login is locked for a while."
_FULL = "Many people log in at this moment. Try again in a few seconds."
_FULL_SECONDS = 3


class _Full(Exception):
    """More passwords wait to be looked at than are let wait."""


class _Line:
    """Let passwords be looked at a few at a time: each takes every core for a while, and a connection of the pages.

    How many wait has an end, so that who sends thousands keeps nobody from the pages.
    """

    def __init__(self, *, at_once: int, waiting_max: int) -> None:
        self._places = BoundedSemaphore(at_once + waiting_max)
        self._turns = BoundedSemaphore(at_once)

    @contextmanager
    def turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise _Full
        try:
            with self._turns:
                yield
        finally:
            self._places.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Ask people who they are, and let them in."""

    system: System
    door: Door
    renderer: Renderer
    provider: SignIn | None
    # Whoever came in with a browser before stands in no line with strangers.
    strangers: _Line = field(default_factory=lambda: _Line(at_once=1, waiting_max=4))
    known: _Line = field(default_factory=lambda: _Line(at_once=2, waiting_max=16))

    def show(
        self, request: Request, *, back: str, login: str = "", wrong: str = "", status: int = 200
    ) -> Response:
        """Return the page that asks."""
        key = new_form_key()
        response = self.renderer.page(
            request,
            None,
            "login.html",
            status=status,
            token=self.door.entrance_token(key),
            back=safe_address(back),
            login=login,
            wrong=wrong,
            provider="" if self.provider is None else self.provider.name,
        )
        set_cookie(response, request, name=FORM_COOKIE, value=key)
        return response

    def find(self, *, login: str, password: str, browser: bytes | None) -> Person | None:
        """Return whose login and password these are, when it is their turn.

        :raises _Full: too many wait for theirs.
        """
        database = self.system.web_database
        with database.transaction() as connection:
            comes_again = browser is not None and is_known(
                connection, login=login.lower(), browser=browser
            )
        line = self.known if comes_again else self.strangers
        with line.turn(), database.transaction() as connection:
            return authenticate(
                connection,
                login=login,
                password=password,
                now=self.system.clock.now(),
                browser=browser,
            )

    def let_in(self, request: Request, response: Response, person: Person) -> Response:
        """Give the browser a session of the person, and know it when they come again."""
        now, pepper = self.system.clock.now(), self.system.pepper
        with self.system.web_database.transaction() as connection:
            opened = open_session(connection, person=person, pepper=pepper, now=now)
            word = remember_browser(
                connection,
                login=person.login,
                token=_browser_word(request),
                pepper=pepper,
                now=now,
            )
        set_cookie(response, request, name=SESSION_COOKIE, value=opened.token)
        set_browser_cookie(response, request, value=word)
        return response


def add_routes(pages: FastAPI, *, entrance: Entrance) -> None:
    """Add the way in and out."""
    system, door = entrance.system, entrance.door

    @pages.get("/login")
    def login_page(request: Request, next: QueryWord = "/") -> Response:
        return entrance.show(request, back=next)

    @pages.post("/login", dependencies=[Depends(door.check_entrance)])
    def log_in(
        request: Request, login: FormWord, password: FormPassword, back: FormWord = "/"
    ) -> Response:
        try:
            person = entrance.find(
                login=login,
                password=password,
                browser=browser_hash(_browser_word(request), pepper=system.pepper),
            )
        except _Full:
            answer = entrance.show(request, back=back, login=login, wrong=_FULL, status=503)
            answer.headers["Retry-After"] = str(_FULL_SECONDS)
            return answer
        if person is None:
            return entrance.show(request, back=back, login=login, wrong=_WRONG, status=401)
        response = RedirectResponse(safe_address(back), status_code=303)
        response.delete_cookie(FORM_COOKIE, path="/")
        return entrance.let_in(request, response, person)

    @pages.post("/logout", dependencies=[Depends(door.signed_visitor)])
    def log_out(request: Request) -> Response:
        with system.web_database.transaction() as connection:
            end_session(
                connection,
                token=request.cookies[SESSION_COOKIE],
                pepper=system.pepper,
                now=system.clock.now(),
            )
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(SESSION_COOKIE, path="/")
        return response

    @pages.post("/theme")
    def choose_theme(
        request: Request,
        _visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        theme: FormWord,
        back: FormWord = "/",
    ) -> Response:
        response = RedirectResponse(safe_address(back), status_code=303)
        if theme in THEMES:
            set_cookie(response, request, name=THEME_COOKIE, value=theme)
        return response


def _browser_word(request: Request) -> str:
    """Return what the browser says it is known by."""
    return request.cookies.get(BROWSER_COOKIE, "")
