"""The one gate that every call passes: caps while a body streams, its form, and no NUL anywhere."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tieline.api.problems import problem_response
from tieline.runtime.telemetry import correlated, new_correlation_id

BODY_BYTES_MAX = 1024 * 1024
# Whoever sends a letter an hour would hold a connection for a year.
BODY_SECONDS_MAX = 60
DEPTH_MAX = 20
# What is larger is looked at beside the others, which would wait for it, and one at a time.
_LARGE_BYTES = 32 * 1024
_DIGITS_MAX = 40
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
_ONCE = (b"authorization", b"content-type", b"idempotency-key")
# A string ends with the body where nothing else ends it, so that no sign is looked at twice.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_BESIDE_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


class Refused(Exception):
    """Why a call does not pass the gate."""

    def __init__(self, *, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class BodyGate:
    """Begin the call's story, read its body whole within the caps, look at it, and hand it on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = kept_by_nobody(send)
        with correlated(new_correlation_id()):
            try:
                check_address(scope)
                check_headers(scope)
                if scope["method"] not in _WITHOUT_BODY:
                    body = await read_body(receive)
                    if body is None:
                        return
                    await self._check(scope, body)
                    receive = replayed(body)
            except Refused as error:
                response = problem_response(
                    status=error.status, code=error.code, detail=error.detail
                )
                await response(scope, receive, send)
                return
            await self._app(scope, receive, send)

    async def _check(self, scope: Scope, body: bytes) -> None:
        if len(body) <= _LARGE_BYTES:
            check_body(scope, body)
            return
        async with self._one_at_a_time:
            await asyncio.to_thread(check_body, scope, body)


def kept_by_nobody(send: Send) -> Send:
    """Return a way to answer whose answers no proxy or browser keeps or takes for something else."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("cache-control", "no-store")
            headers.setdefault("x-content-type-options", "nosniff")
        await send(message)

    return told


def check_address(scope: Scope) -> None:
    """Let no NUL into a path or query.

    :raises Refused: there is one.
    """
    query = scope.get("query_string", b"")
    if "\x00" in scope["path"] or b"\x00" in query or b"%00" in query:
        raise Refused(status=400, code="request.invalid", detail="an address holds no NUL")


def check_headers(scope: Scope) -> None:
    """Let nothing come twice that says who calls, and what.

    :raises Refused: a header does: whoever stands before us may have believed the other one.
    """
    names = [name for name, _ in scope["headers"] if name in _ONCE]
    if len(names) > len(set(names)):
        raise Refused(
            status=400,
            code="request.invalid",
            detail="a key, a media type and an Idempotency-Key are sent once",
        )


async def read_body(receive: Receive, *, bytes_max: int = BODY_BYTES_MAX) -> bytes | None:
    """Return the whole body, None when the caller went away.

    :raises Refused: it is too large, or takes too long.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await _read_whole(receive, bytes_max=bytes_max)
    except TimeoutError as error:
        raise Refused(
            status=408,
            code="request.too_slow",
            detail=f"a body arrives within {BODY_SECONDS_MAX} seconds",
        ) from error


async def _read_whole(receive: Receive, *, bytes_max: int) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise Refused(
                status=413,
                code="request.too_large",
                detail=f"a body has at most {bytes_max} bytes",
            )
        if not message.get("more_body", False):
            return bytes(body)


def check_body(scope: Scope, body: bytes) -> None:
    """Let nothing pass but JSON within its caps, whose numbers are finite and sane.

    :raises Refused: it is something else.
    """
    if not body:
        return
    kind = dict(scope["headers"]).get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refused(
            status=415, code="request.media_type", detail="a body is sent as application/json"
        )
    if is_too_deep(body) or b"\x00" in body or b"\\u0000" in body:
        raise Refused(
            status=400,
            code="request.invalid",
            detail=f"a body nests at most {DEPTH_MAX} levels and holds no NUL",
        )
    try:
        json.loads(
            body, parse_constant=_refuse_number, parse_int=_whole, object_pairs_hook=_named_once
        )
    except ValueError as error:
        raise Refused(
            status=400,
            code="request.invalid",
            detail="a body is JSON in UTF-8, names each field once, and its numbers are finite"
            " and of sane length",
        ) from error


def is_too_deep(body: bytes) -> bool:
    """Say whether brackets outside strings nest deeper than allowed."""
    brackets = _STRING.sub(b"", body).translate(_ONE_KIND, _BESIDE_BRACKETS)
    for _ in range(DEPTH_MAX):
        # The innermost of all go at once: as often as the deepest of them nest.
        brackets = brackets.replace(b"[]", b"")
    return b"[" in brackets


def _refuse_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is named twice, and either may be meant")
    return fields


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS_MAX:
        raise ValueError("a number is too long")
    return int(digits)


def replayed(body: bytes) -> Receive:
    """Return a channel that gives a body that was read once more, whole."""
    is_sent = False

    async def receive() -> Message:
        nonlocal is_sent
        if is_sent:
            return {"type": "http.disconnect"}
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
