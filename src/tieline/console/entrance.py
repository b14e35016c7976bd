"""Log in, log out, and choose between light and dark."""

from dataclasses import dataclass
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
    open_session,
    remember_browser,
)
from tieline.services.sign_in import SignIn
from tieline.services.system import System

_WRONG = "That login and password do not belong together, or the login is locked for a while."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Ask people who they are, and let them in."""

    system: System
    door: Door
    renderer: Renderer
    provider: SignIn | None

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
        with system.web_database.transaction() as connection:
            person = authenticate(
                connection,
                login=login,
                password=password,
                now=system.clock.now(),
                browser=browser_hash(_browser_word(request), pepper=system.pepper),
            )
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
