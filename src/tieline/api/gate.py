"""The one gate that every body passes: a size cap while it streams, a depth cap, no NUL."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tieline.api.problems import problem_response

BODY_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 20


class BodyGate:
    """Read a body whole within its cap, look at it, and hand it on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > BODY_BYTES_MAX:
                response = problem_response(
                    status=413,
                    code="request.too_large",
                    detail=f"a body has at most {BODY_BYTES_MAX} bytes",
                )
                await response(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        if is_too_deep(bytes(body)) or b"\x00" in body or b"\\u0000" in body:
            response = problem_response(
                status=400,
                code="request.invalid",
                detail=f"a body nests at most {DEPTH_MAX} levels and holds no NUL",
            )
            await response(scope, receive, send)
            return
        await self._app(scope, _replayed(bytes(body)), send)


def is_too_deep(body: bytes) -> bool:
    """Say whether brackets outside strings nest deeper than allowed."""
    depth, in_string, escaped = 0, False, False
    for byte in body:
        character = chr(byte)
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
            continue
        if character == '"':
            in_string, escaped = True, False
        elif character in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif character in "]}":
            depth -= 1
    return False


def _replayed(body: bytes) -> Receive:
    is_sent = False

    async def receive() -> Message:
        nonlocal is_sent
        if is_sent:
            return {"type": "http.disconnect"}
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
