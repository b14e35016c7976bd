"""Who looks at a page: sessions in cookies, and a token that only our own forms know."""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.console.problems import LoginNeeded, not_allowed
from tieline.governance import Person, find_session, open_web_transaction
from tieline.services.sign_in import MINUTES_MAX
from tieline.services.system import System
from tieline.services.what_if_runs import sees_all

SESSION_COOKIE = "tieline_session"
FORM_COOKIE = "tieline_form"
SIGN_IN_COOKIE = "tieline_sign_in"
BROWSER_COOKIE = "tieline_browser"
THEME_COOKIE = "tieline_theme"
THEMES = ("light", "dark")
_TOKEN_MAX = 200
_BROWSER_DAYS = 400

# What each role may do beyond looking; an administrator may do everything.
ROLES_THAT_APPROVE = ("controller", "finance")
ROLES_THAT_ADOPT = ("controller", "data_steward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person with a page open; ``csrf`` goes into every form of theirs.

    ``sees_firm`` says that they see every legal entity, so what belongs to none alone is shown to them.
    """

    person: Person
    csrf: str
    sees_firm: bool

    @property
    def login(self) -> str:
        return self.person.login

    @property
    def entities(self) -> tuple[str, ...]:
        return self.person.entities

    def may(self, roles: tuple[str, ...]) -> bool:
        """Say whether the person has one of these roles."""
        return any(self.person.has_role(role) for role in roles)

    def must(self, roles: tuple[str, ...], what: str) -> None:
        """Refuse who has none of these roles.

        :raises PageProblem: the person may not.
        """
        if not self.may(roles):
            raise not_allowed(f"You may look, but not {what}: it takes {' or '.join(roles)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Let people in by their session, and forms by their token."""

    system: System

    def visitor(self, request: Request) -> Visitor:
        """Return who asks.

        :raises LoginNeeded: nobody is logged in.
        """
        token = request.cookies.get(SESSION_COOKIE, "")[:_TOKEN_MAX]
        person = self._find(token) if token.isascii() and token else None
        if person is None:
            raise LoginNeeded(back_to=_address(request))
        with self.system.judge_database.transaction() as reader:
            sees_firm = sees_all(reader, person.entities)
        return Visitor(person=person, csrf=self._token("form", token), sees_firm=sees_firm)

    def signed_visitor(
        self, request: Request, csrf: Annotated[str, Form(max_length=_TOKEN_MAX)] = ""
    ) -> Visitor:
        """Return who sent a form of ours.

        :raises PageProblem: the form is not one of ours.
        """
        visitor = self.visitor(request)
        _must_match(csrf, visitor.csrf)
        return visitor

    def entrance_token(self, key: str) -> str:
        """Return the token of the login form for the key in its cookie."""
        return self._token("entrance", key)

    def check_entrance(
        self, request: Request, csrf: Annotated[str, Form(max_length=_TOKEN_MAX)] = ""
    ) -> None:
        """Refuse a login that did not come from our own login page.

        :raises PageProblem: it did not.
        """
        key = request.cookies.get(FORM_COOKIE, "")[:_TOKEN_MAX]
        _must_match(csrf, self.entrance_token(key) if key else "")

    @contextmanager
    def sight_of(self, visitor: Visitor) -> Iterator[Connection[dict[str, Any]]]:
        """Open a transaction that sees what the person may see."""
        with open_web_transaction(
            self.system.web_database,
            entities=visitor.entities,
            sees_costs=visitor.person.sees_costs,
        ) as connection:
            yield connection

    def _find(self, token: str) -> Person | None:
        with self.system.web_database.transaction() as connection:
            return find_session(
                connection,
                token=token,
                pepper=self.system.pepper,
                now=self.system.clock.now(),
            )

    def _token(self, purpose: str, value: str) -> str:
        message = f"{purpose}:{value}".encode(errors="replace")
        return hmac.new(self.system.pepper, message, hashlib.sha256).hexdigest()


def set_cookie(response: Response, request: Request, *, name: str, value: str) -> None:
    """Give the browser a cookie that no script and no other site gets."""
    response.set_cookie(
        name,
        value,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def set_sign_in_cookie(response: Response, request: Request, *, value: str) -> None:
    """Give the browser what it must bring back from its provider: from there it comes as from another site."""
    response.set_cookie(
        SIGN_IN_COOKIE,
        value,
        path="/sign-in",
        max_age=MINUTES_MAX * 60,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def set_browser_cookie(response: Response, request: Request, *, value: str) -> None:
    """Give the browser what it is known by when somebody comes in again; it opens nothing by itself."""
    response.set_cookie(
        BROWSER_COOKIE,
        value,
        path="/",
        max_age=_BROWSER_DAYS * 24 * 3600,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def new_form_key() -> str:
    """Return a fresh key for the login form's cookie."""
    return secrets.token_urlsafe(18)


def safe_address(address: str) -> str:
    """Return an address of our own pages, else the first page."""
    is_ours = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_ours and address.isprintable() else "/"


def _must_match(given: str, wanted: str) -> None:
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise not_allowed("The form is too old, or not one of ours: go back and send it again.")


def _address(request: Request) -> str:
    if request.method != "GET":
        return "/"
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
