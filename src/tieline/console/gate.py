"""The gate of the pages: the same caps as the API's, for forms; what does not pass becomes a page."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tieline.api.gate import Refused, check_address, check_headers, read_body, replayed
from tieline.runtime.telemetry import correlated, new_correlation_id

_FORM = b"application/x-www-form-urlencoded"
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


class FormGate:
    """Begin the story of a visit, read its form whole within the cap, and hand it on."""

    def __init__(self, app: ASGIApp, *, refuse: Callable[[Request, Refused], Response]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with correlated(new_correlation_id()):
            try:
                check_address(scope)
                check_headers(scope)
                if scope["method"] not in _WITHOUT_BODY:
                    body = await read_body(receive)
                    if body is None:
                        return
                    _check_form(scope, body)
                    receive = replayed(body)
            except Refused as error:
                await self._refuse(Request(scope), error)(scope, receive, send)
                return
            await self._app(scope, receive, send)


def _check_form(scope: Scope, body: bytes) -> None:
    kind = dict(scope["headers"]).get(b"content-type", b"").split(b";")[0].strip().lower()
    if body and kind != _FORM:
        raise Refused(status=415, code="request.media_type", detail="Pages take forms only.")
