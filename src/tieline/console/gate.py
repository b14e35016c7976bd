"""The gate of the pages: the same caps as the API's, for forms; what does not pass becomes a page."""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tieline.api.gate import (
    BODY_BYTES_MAX,
    Refused,
    check_address,
    check_headers,
    read_body,
    replayed,
)
from tieline.console.sessions import SESSION_COOKIE
from tieline.runtime.telemetry import correlated, new_correlation_id

_FORM = b"application/x-www-form-urlencoded"
_FILES = b"multipart/form-data"
# A list of fifty thousand records is about five of these.
_UPLOAD_BYTES_MAX = 16 * BODY_BYTES_MAX
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


class FormGate:
    """Begin the story of a visit, read its form whole within the cap, and hand it on."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        refuse: Callable[[Request, Refused], Response],
        uploads: Collection[str] = (),
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with correlated(new_correlation_id()):
            try:
                check_address(scope)
                check_headers(scope)
                if scope["method"] not in _WITHOUT_BODY:
                    takes_files = self._takes_files(scope)
                    body = await read_body(
                        receive, bytes_max=_UPLOAD_BYTES_MAX if takes_files else BODY_BYTES_MAX
                    )
                    if body is None:
                        return
                    _check_form(scope, body, kinds=(_FORM, _FILES) if takes_files else (_FORM,))
                    receive = replayed(body)
            except Refused as error:
                await self._refuse(Request(scope), error)(scope, receive, send)
                return
            await self._app(scope, receive, send)

    def _takes_files(self, scope: Scope) -> bool:
        # Nobody who shows no session is read longer than a form is.
        return scope["path"] in self._uploads and SESSION_COOKIE in Request(scope).cookies


def _check_form(scope: Scope, body: bytes, *, kinds: Collection[bytes]) -> None:
    kind = dict(scope["headers"]).get(b"content-type", b"").split(b";")[0].strip().lower()
    if body and kind not in kinds:
        raise Refused(status=415, code="request.media_type", detail="Pages take forms only.")
