"""RFC 9457 problem documents with stable codes and no internals."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from tieline.runtime.telemetry import correlation_id

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """What the caller did, or may not do, in one sentence."""

    def __init__(self, *, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def problem_response(*, status: int, code: str, detail: str) -> JSONResponse:
    """Return a problem document."""
    content: dict[str, Any] = {
        "type": f"urn:tieline:problem:{code}",
        "title": code,
        "status": status,
        "detail": detail,
        "code": code,
        "trace_id": correlation_id(),
    }
    return JSONResponse(content, status_code=status, media_type=MEDIA_TYPE)


async def answer_problem(_request: Request, error: Exception) -> JSONResponse:
    """Turn a problem into its document."""
    assert isinstance(error, Problem)
    return problem_response(status=error.status, code=error.code, detail=error.detail)
