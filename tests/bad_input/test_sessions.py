"""Whatever a browser brings as its session or as the token of a form, nobody is let in by it and nothing is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.bad_input.conftest import Town
from tests.bad_input.traces import Traces
from tests.bad_input.wire import Answer, Wire
from tests.rooms.console.conftest import Browser, token_of
from tieline.console.sessions import FORM_COOKIE, SESSION_COOKIE, SIGN_IN_COOKIE

_FORM = (b"Content-Type", b"application/x-www-form-urlencoded")
_LONG = 10_000


def _session_of(browser: Browser) -> str:
    (session,) = (each.value for each in browser.client.cookies.jar if each.name == SESSION_COOKIE)
    assert session
    return session


class _Visitor:
    """Somebody who sends cookies as they are given."""

    def __init__(self, town: Town) -> None:
        self._wire = Wire(town.port)

    def get(self, address: str, *cookies: bytes) -> Answer:
        return self._wire.send("GET", address, _headers(cookies), None)

    def pause(self, csrf: str, *cookies: bytes) -> Answer:
        """Send a form that would pause a connection."""
        body = f"csrf={csrf}&reason=because".encode()
        headers = [*_headers(cookies), _FORM]
        return self._wire.send("POST", "/connections/clock/pause", headers, body)

    def log_in(self, csrf: str, *cookies: bytes) -> Answer:
        body = f"csrf={csrf}&login=dan&password=x".encode()
        return self._wire.send("POST", "/login", [*_headers(cookies), _FORM], body)

    def close(self) -> None:
        self._wire.close()


def _headers(cookies: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    return [(b"Cookie", cookie) for cookie in cookies]


def test_cookies_let_in_whose_they_are_and_nobody_else(town: Town) -> None:
    _a_session_that_is_none_lets_nobody_in(town)
    _a_login_takes_its_own_page(town)
    _the_session_of_somebody_who_may_no_longer_is_none(town)


def _a_session_that_is_none_lets_nobody_in(town: Town) -> None:
    dan, left = town.house.browser("dan"), town.house.browser("dan")
    session, csrf = _session_of(dan), token_of(dan.get("/"))
    over, over_csrf = _session_of(left), token_of(left.get("/"))
    left.send("/logout")
    good = f"{SESSION_COOKIE}={session}".encode()
    name = SESSION_COOKIE.encode()
    bad = {
        "no cookie": b"",
        "an empty session": name + b"=",
        "a word": name + b"=word",
        "a session that was left": f"{SESSION_COOKIE}={over}".encode(),
        "all but its last letter": good[:-1],
        "one letter more": good + b"A",
        "other letters": good.swapcase().replace(name.swapcase(), name),
        "its name in capitals": good.replace(name, name.upper()),
        "its hash": name + b"=" + b"0" * 64,
        "ten thousand letters": name + b"=" + b"A" * _LONG,
        "no letters of ASCII": name + b"=\xff\xfe\xc3\xa9",
        "NUL in percents": name + b"=%00" + session.encode(),
        "SQL": name + b"=' OR '1'='1",
        "quotes that never end": name + b'="' + session.encode()[:8],
        "many semicolons": b";;;;" + name + b";=;=" * 100,
        "a JSON web token": name + b"=eyJhbGciOiJub25lIn0.eyJzdWIiOiJkYW4ifQ.",
        "a thousand cookies": b"; ".join(b"a%d=1" % number for number in range(1000)),
    }
    visitor, traces = _Visitor(town), Traces(town.house.worker)

    wrong = []
    for what, cookie in bad.items():
        for answer in (visitor.get("/exceptions", cookie), visitor.pause(csrf, cookie)):
            is_at_the_login = answer.status == 303 and "/login" in answer.location
            is_refused = is_at_the_login or 400 <= answer.status < 500
            if not is_refused:
                wrong.append((what, answer.status, answer.location))

    assert wrong == []
    # A good session with the token of another one's forms, or with none, changes nothing either.
    for token in ("", "0" * 64, over_csrf, csrf[:-1], "x" * 150, "%00", "%ff"):
        assert visitor.pause(token, good).status in (403, 422), token
    assert traces.changed() == []
    assert visitor.get("/exceptions", good).status == 200
    # Of two, one counts, and neither breaks anything.
    for both in (
        (good + b"; " + name + b"=word",),
        (name + b"=word; " + good,),
        (good, name + b"=word"),
    ):
        assert visitor.get("/exceptions", *both).status in (200, 303, 400)
    assert visitor.pause(csrf, good).status == 303
    visitor.close()


def _the_session_of_somebody_who_may_no_longer_is_none(town: Town) -> None:
    dan = town.house.browser("dan")
    cookie = f"{SESSION_COOKIE}={_session_of(dan)}".encode()
    csrf = token_of(dan.get("/"))
    visitor = _Visitor(town)
    assert visitor.get("/exceptions", cookie).status == 200

    # Another's rights hold at once: the session is not asked what it was opened with.
    town.house.rows("UPDATE person_login SET roles = '{}' WHERE login = 'dan' RETURNING login")
    assert visitor.pause(csrf, cookie).status == 403
    town.house.rows("UPDATE person_login SET is_active = false WHERE login = 'dan' RETURNING login")

    assert visitor.get("/exceptions", cookie).status == 303
    assert visitor.pause(csrf, cookie).status == 303
    visitor.close()


def _a_login_takes_its_own_page(town: Town) -> None:
    visitor, traces = _Visitor(town), Traces(town.house.worker)
    page = visitor.get("/login")
    token = re.findall(r'name="csrf" value="([^"]*)"', page.text)[0]
    key = FORM_COOKIE.encode()

    for cookie in (b"", key + b"=", key + b"=word", key + b"=" + b"A" * _LONG, key + b"=\xff"):
        assert visitor.log_in(token, cookie).status in (400, 403, 431), cookie[:40]
    for cookie in (b"word", b"\xff", b"A" * _LONG, b"%00", b"a.b.c"):
        brought = SIGN_IN_COOKIE.encode() + b"=" + cookie
        answer = visitor.get("/sign-in/back?state=word&code=word", brought)
        assert 400 <= answer.status < 500 or answer.status == 303, cookie[:40]
        assert "tieline_session" not in answer.text

    assert traces.changed() == []
    visitor.close()
