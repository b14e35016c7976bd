"""Whatever of the corpus is put into whatever field of a page, the answer is a page, and nothing is half stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from urllib.parse import quote

from fastapi.routing import APIRoute

from tests.bad_input.calls import ADDRESS_BYTES_MAX, Call, nothing
from tests.bad_input.conftest import Town
from tests.bad_input.corpus import read_corpus, some_of
from tests.bad_input.traces import Traces
from tests.bad_input.wire import Answer, Wire

_CALLS_IN_SHORT = 80
_SECONDS_MAX = 5
_LOOK_EVERY = 20
_PLACE = re.compile(r"\{([a-z_]+)(?::path)?\}")
_FORM = b"application/x-www-form-urlencoded"
_PUT_BY = {"release_id": "1", "digest": "0" * 64, "reason": "because", "page": "1"}
# They let nobody in, and leave the others without a session.
_NOT_SENT = ("/login", "/logout")
_SCRIPT = "<script>alert(1)</script>"


def test_bad_input_is_answered_by_a_page_and_stores_nothing(
    town: Town, thorough: bool, seed: int
) -> None:
    calls = list(_calls(town))
    chosen = calls if thorough else some_of(calls, count=_CALLS_IN_SHORT, seed=seed)
    browser = town.house.browser("dan")
    token = re.findall(r'name="csrf" value="([^"]*)"', browser.get("/").text)[0]
    cookies = "; ".join(f"{each.name}={each.value}" for each in browser.client.cookies.jar)
    wire, traces = Wire(town.port), Traces(town.house.worker)
    wrong: list[str] = []
    slowest, refused = (0.0, ""), 0

    for call in chosen:
        form = call.body
        body = None if form is None else form.replace(b"CSRF", token.encode())
        headers = [(b"Cookie", cookies.encode()), (b"Content-Type", _FORM)]
        answer = wire.send(call.method, call.address, headers, body)
        slowest = max(slowest, (answer.seconds, str(call)))
        wrong += [f"{call}: {sentence}" for sentence in _mistakes(call, answer)]
        if call.method == "GET":
            continue
        if answer.status < 400:
            traces.renew()
            refused = 0
            continue
        refused += 1
        if refused % _LOOK_EVERY == 0:
            wrong += [f"{call} or one before stored: {name}" for name in traces.changed()]
            traces.renew()

    wire.close()
    assert wrong == [], f"{len(wrong)} of {len(chosen)} calls; the seed is {seed}"
    assert not thorough or slowest[0] < _SECONDS_MAX, slowest
    print(f"{len(chosen)} calls; the slowest took {slowest[0]:.2f} s: {slowest[1]}")


def _calls(town: Town) -> Iterator[Call]:
    texts = [*read_corpus("texts"), *read_corpus("values")]
    for route in town.house.web._pages._app.routes:
        if not isinstance(route, APIRoute) or route.path in _NOT_SENT:
            continue
        method = "POST" if "POST" in (route.methods or ()) else "GET"
        places = _PLACE.findall(route.path)
        queries = [each.alias for each in route.dependant.query_params]
        fields = [each.alias for each in route.dependant.body_params if each.alias != "csrf"]
        for name in (*places, *queries, *fields):
            for item in texts:
                value = item.text.encode("utf-8", "surrogatepass")
                if name not in fields and len(value) > ADDRESS_BYTES_MAX:
                    continue
                if name in places and not value.strip(b"./"):
                    continue
                yield Call(
                    method=method,
                    template=route.path,
                    address=_address(town, route.path, name, value, is_query=name in queries),
                    what=f"{name} is {item.name}",
                    make=partial(_form, town, fields, name, value) if method == "POST" else nothing,
                    never=b"\x00" in value,
                )


def _address(town: Town, path: str, name: str, value: bytes, *, is_query: bool) -> str:
    def put(found: re.Match[str]) -> str:
        given = value if found[1] == name else _right(town, found[1]).encode()
        return quote(given, safe="")

    filled = _PLACE.sub(put, path)
    return f"{filled}?{name}={quote(value, safe='')}" if is_query else filled


def _form(town: Town, fields: list[str], name: str, value: bytes) -> bytes:
    given = {each: value if each == name else _right(town, each).encode() for each in fields}
    return "&".join(
        ["csrf=CSRF", *(f"{each}={quote(word, safe='')}" for each, word in given.items())]
    ).encode()


def _right(town: Town, name: str) -> str:
    return town.there.get(name) or _PUT_BY.get(name) or "x"


def _mistakes(call: Call, answer: Answer) -> list[str]:
    found = []
    if answer.status >= 500:
        found.append(f"answers {answer.status}")
    if call.never and answer.status < 400:
        found.append(f"was taken: {answer.status}")
    if "Traceback" in answer.text:
        found.append("shows a traceback")
    if _SCRIPT in answer.text:
        found.append("shows a script as it came")
    if answer.status in (302, 303) and not re.match(r"/(?![/\\])", answer.location):
        found.append(f"sends people to {answer.location}")
    return found
