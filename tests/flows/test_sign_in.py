"""People sign in by their firm's provider, over real HTTP; whatever it says wrong lets nobody in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from psycopg import Connection
from tests.rooms.casework.hand_made_firm import NOW
from tests.rooms.console.conftest import House, add_people, token_of
from tests.support.opened import opened_system
from tests.support.openid import CLIENT_ID, SECRET, OpenIdProvider, running_provider

from tieline.console.application import create_web
from tieline.console.assets import Assets
from tieline.governance import (
    bind_identity,
    change_person,
    close_person,
    end_sessions,
    list_audit,
    unbind_identity,
    verify_audit,
)
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database, Row
from tieline.runtime.migrate import Dsns
from tieline.services.doctor import Doctor
from tieline.services.system import System

_WEB = "http://testserver"
_LIES = (
    "wrong nonce",
    "no nonce",
    "wrong audience",
    "among other audiences",
    "wrong issuer",
    "expired",
    "of tomorrow",
    "never ends",
    "ends as a word",
    "no subject",
    "a list",
    "unknown key",
    "foreign key under a known name",
    "public key as a shared secret",
    "no signature",
    "its own key in the header",
    "a kid of two megabytes",
)


@dataclass(slots=True, kw_only=True)
class Town:
    """An installation that knows one provider."""

    system: System
    house: House
    provider: OpenIdProvider

    def browser(self) -> TestClient:
        return TestClient(self.house.web, raise_server_exceptions=False, follow_redirects=False)

    def way_back(self, browser: TestClient, back: str = "/close") -> str:
        """Go to the provider, say yes there, and return where it sends the browser."""
        begun = browser.get("/sign-in", params={"next": back})
        assert begun.status_code == 303, begun.text
        said = httpx.get(begun.headers["location"], follow_redirects=False)
        return said.headers["location"].removeprefix(_WEB)

    def sign_in(self, browser: TestClient | None = None) -> httpx.Response:
        browser = browser or self.browser()
        return browser.get(self.way_back(browser))

    def bind(self, login: str, *, subject: str | None = None, email: str | None = None) -> None:
        with self.house.worker.transaction() as connection:
            bind_identity(
                connection,
                login=login,
                issuer=self.provider.address,
                subject=subject,
                email=email,
                pepper=self.system.pepper,
                by="boss",
                reason="they work here",
                now=NOW,
            )

    def audited(self) -> list[tuple[str, str]]:
        with self.house.worker.transaction() as connection:
            rows = list_audit(connection, limit=100, offset=0)
        return [(row.action, row.object) for row in reversed(rows)]


@pytest.fixture
def town(
    database: Dsns, worker_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Town]:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    with (
        running_provider() as provider,
        opened_system(
            database,
            home=tmp_path / "home",
            now=NOW,
            monkeypatch=monkeypatch,
            TIELINE_WEB_URL=_WEB,
            TIELINE_OIDC_ISSUER=provider.address,
            TIELINE_OIDC_CLIENT_ID=CLIENT_ID,
            TIELINE_OIDC_SECRET_FILE=str(secret),
        ) as system,
    ):
        assets = Assets(folder=None, digest="none", notice="plain")
        house = House(web=create_web(system, assets=assets), worker=worker_database, system=system)
        add_people(worker_database)
        yield Town(system=system, house=house, provider=provider)


def _change(connection: Connection[Row], login: str) -> None:
    change_person(
        connection,
        login=login,
        roles=("auditor",),
        entities=("UK",),
        ends_at=None,
        by="boss",
        reason="r",
        now=NOW,
    )


def test_a_person_comes_in_by_what_an_administrator_bound(town: Town) -> None:
    stranger = town.sign_in()
    town.bind("ann", email="Ann@Firm.example ")
    town.provider.is_email_verified = False
    unverified = town.sign_in()
    town.provider.is_email_verified = True
    browser = town.browser()
    first = town.sign_in(browser)

    assert (stranger.status_code, unverified.status_code, first.status_code) == (403, 403, 200)
    assert 'content="0; url=/close"' in first.text
    assert browser.get("/close").status_code == 200
    # From now on it is the subject that comes: the address may become somebody else's.
    town.provider.email = "ann.new@firm.example"
    assert town.sign_in().status_code == 200
    town.provider.subject, town.provider.email = "u-2", "ann@firm.example"
    assert town.sign_in().status_code == 403
    # Nobody was made, and nothing but keyed hashes of addresses is kept.
    assert len(town.house.rows("SELECT login FROM person_login")) == 6
    assert "firm.example" not in str(town.house.rows("SELECT * FROM login_identity"))
    assert town.audited() == [
        ("person.sign_in_refused", "login"),
        ("person.identity_bound", "login:ann"),
        ("person.sign_in_refused", "login"),
        ("person.identity_bound", "login:ann"),
        ("person.signed_in", "login:ann"),
        ("person.signed_in", "login:ann"),
        ("person.sign_in_refused", "login"),
    ]

    # Signing out ends our session, and roles are those of today, given here.
    assert (
        browser.post("/logout", data={"csrf": token_of(browser.get("/close"))}).status_code == 303
    )
    assert browser.get("/close").status_code == 303
    town.provider.subject = "u-1"
    town.sign_in(browser)
    with town.house.worker.transaction() as connection:
        connection.execute("UPDATE person_login SET roles = '{admin}' WHERE login = 'bob'")
        _change(connection, "ann")
    assert browser.get("/").status_code == 200
    with town.house.worker.transaction() as connection:
        assert end_sessions(connection, login="ann", by="boss", reason="r", now=NOW) == 2
    assert browser.get("/").status_code == 303


def test_whoever_is_let_in_no_more_does_not_come_in_by_a_provider(town: Town) -> None:
    town.bind("ann", subject="u-1")
    with pytest.raises(UserMistake, match="unbind them first"):
        town.bind("bob", subject="u-1")
    with pytest.raises(UserMistake, match="nobody has the login"):
        town.bind("nobody", subject="u-9")
    rows = town.house.rows
    statuses = {}

    # Whoever guesses passwords locks those, and nobody's way in by the provider.
    rows(
        "UPDATE person_login SET locked_until = %s WHERE login = 'ann' RETURNING 1",
        NOW.replace(hour=23),
    )
    statuses["locked"] = town.sign_in().status_code
    rows(
        "UPDATE person_login SET locked_until = NULL, ends_at = %s WHERE login = 'ann' RETURNING 1",
        NOW,
    )
    statuses["ended"] = town.sign_in().status_code
    rows(
        "UPDATE person_login SET ends_at = NULL, roles = '{admin}' WHERE login IN ('ann', 'bob') RETURNING 1"
    )
    statuses["open"] = town.sign_in().status_code
    with town.house.worker.transaction() as connection:
        close_person(connection, login="ann", by="boss", reason="left", now=NOW)
    statuses["closed"] = town.sign_in().status_code
    with town.house.worker.transaction() as connection:
        unbind_identity(
            connection, login="ann", issuer=town.provider.address, by="boss", reason="r", now=NOW
        )
    town.bind("bob", subject="u-1")
    statuses["somebody else"] = town.sign_in().status_code

    assert statuses == {
        "locked": 200, "ended": 403, "open": 200, "closed": 403, "somebody else": 200,
    }  # fmt: skip


def test_whatever_the_provider_says_wrong_lets_nobody_in(town: Town) -> None:
    town.bind("ann", subject="u-1")
    taken = []

    for lie in _LIES:
        town.provider.lie = lie
        browser = town.browser()
        answer = town.sign_in(browser)
        # What is too long to be read is no answer at all.
        expected = 503 if lie == "a kid of two megabytes" else 403
        if answer.status_code != expected or browser.get("/close").status_code != 303:
            taken.append((lie, answer.status_code))
    town.provider.lie = ""

    assert taken == []
    assert town.house.rows("SELECT 1 AS one FROM session") == []
    # Names of keys that nobody has do not make us ask for the keys each time.
    assert town.provider.asked.count("/keys") <= 2


def test_a_way_back_is_good_once_and_for_the_browser_that_began(town: Town) -> None:
    town.bind("ann", subject="u-1")
    browser, other = town.browser(), town.browser()
    way = town.way_back(browser)
    state = parse_qs(urlsplit(way).query)["state"][0]
    cookie = browser.cookies["tieline_sign_in"]

    # Another's cookie, none, one that was changed; the answer twice, of another issuer, or a refusal.
    town.way_back(other)
    assert other.get(way).status_code == 403
    assert town.browser().get(way).status_code == 403
    for changed in (f"{way}&state={state}", f"{way}&code=x", way.replace("iss=http", "iss=https")):
        assert browser.get(changed).status_code == 403, changed
    assert browser.get(way).status_code == 200
    replayed = town.browser()
    replayed.cookies.set("tieline_sign_in", cookie, path="/sign-in")
    again = replayed.get(way)
    assert again.status_code == 403
    assert "begin it again" in again.text
    assert browser.get(f"/sign-in/back?error=access_denied&state={state}").status_code == 403
    forged = town.browser()
    forged.cookies.set("tieline_sign_in", f"x{cookie}", path="/sign-in")
    assert forged.get(town.way_back(town.browser())).status_code == 403


def test_new_keys_are_taken_and_a_provider_that_is_down_is_told(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.bind("ann", subject="u-1")
    assert town.sign_in().status_code == 200
    assert town.sign_in().status_code == 200
    assert town.provider.asked.count("/keys") == 1

    town.provider.rotate()
    monkeypatch.setattr("tieline.services.sign_in._KEYS_ANEW_SECONDS", 0)
    assert town.sign_in().status_code == 200
    assert town.provider.asked.count("/keys") == 2

    browser = town.browser()
    way = town.way_back(browser)
    town.provider.is_down = True
    answer = browser.get(way)
    assert (answer.status_code, "does not answer" in answer.text) == (503, True)
    assert _finding(town.system) == "red"
    town.provider.is_down = False
    assert _finding(town.system) == "green"
    with town.house.worker.transaction() as connection:
        assert verify_audit(connection) is not None


def _finding(system: System) -> str:
    (state,) = {
        each.state
        for each in Doctor(system=system).examine(with_calls=True)
        if each.name == "sign-in"
    }
    return state
