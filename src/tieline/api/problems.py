"""RFC 9457 problem documents with stable codes and no internals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from tieline.kernel.errors import AskPerson, TielineError, TryAgain, UserMistake
from tieline.runtime.telemetry import correlation_id

MEDIA_TYPE = "application/problem+json"
PLACES_MAX = 5
_RETRY_SECONDS, _FULL_SECONDS = 2, 30
_STATUS_CODES: Mapping[int, str] = {
    404: "request.unknown_address",
    405: "request.method_not_allowed",
    415: "request.media_type",
}
_log = structlog.get_logger("tieline.api")


class ProblemDocument(BaseModel):
    """What went wrong, in the form of RFC 9457; ``code`` is stable and never reused."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str


class Problem(Exception):
    """What the caller did, or may not do, in one sentence."""

    def __init__(self, *, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


@contextmanager
def unknown_is_404(noun: str) -> Iterator[None]:
    """Answer a thing out of sight as one that does not exist.

    :raises Problem: it is not there for this caller.
    """
    try:
        yield
    except LookupError as error:
        if type(error) is not LookupError:
            raise
        raise Problem(
            status=404, code=f"{noun}.unknown", detail=f"no such {noun} is in your sight"
        ) from error


def problem_response(
    *, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return a problem document."""
    document = ProblemDocument(
        type=f"urn:tieline:problem:{code}",
        title=code,
        status=status,
        detail=detail,
        code=code,
        trace_id=correlation_id(),
    )
    return JSONResponse(
        document.model_dump(),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"Link": f'</guide/reference/reasons#{code}>; rel="help"', **(headers or {})},
    )


def answer_in_problems(api: FastAPI) -> None:
    """Let every error of an application become a problem document."""
    api.add_exception_handler(Problem, _answer_problem)
    api.add_exception_handler(RequestValidationError, _answer_invalid)
    api.add_exception_handler(HTTPException, _answer_http)
    api.add_exception_handler(TielineError, _answer_error)
    api.add_exception_handler(psycopg.errors.DiskFull, _answer_full)
    api.add_exception_handler(psycopg.OperationalError, _answer_busy)
    api.add_exception_handler(PoolTimeout, _answer_busy)
    api.add_exception_handler(Exception, _answer_defect)


async def _answer_problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return problem_response(
        status=error.status, code=error.code, detail=error.detail, headers=headers
    )


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    places = "; ".join(
        f"{'.'.join(_word(part) for part in found['loc'])}: {found['msg']}"
        for found in error.errors()[:PLACES_MAX]
    )
    return problem_response(status=422, code="request.invalid", detail=places)


async def _answer_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem_response(
        status=error.status_code,
        code=_STATUS_CODES.get(error.status_code, "request.invalid"),
        detail=str(error.detail),
        headers=error.headers,
    )


async def _answer_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TielineError)
    if isinstance(error, (UserMistake, AskPerson)):
        return problem_response(status=409, code=error.code, detail=str(error))
    return problem_response(
        status=503,
        code=error.code,
        detail=str(error),
        headers={"Retry-After": str(_retry_after(error))},
    )


def _retry_after(error: TielineError) -> int:
    given = error.retry_after_seconds if isinstance(error, TryAgain) else None
    return given or _RETRY_SECONDS


async def _answer_full(_request: Request, error: Exception) -> JSONResponse:
    _log.error("api.database_full", error=type(error).__name__)
    return problem_response(
        status=503,
        code="database.full",
        detail="the database finds no room on its disk: nothing was stored, try again later",
        headers={"Retry-After": str(_FULL_SECONDS)},
    )


async def _answer_busy(_request: Request, error: Exception) -> JSONResponse:
    _log.warning("api.database_busy", error=type(error).__name__)
    return problem_response(
        status=503,
        code="database.busy",
        detail="the database does not answer in time: try again",
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )


async def _answer_defect(_request: Request, error: Exception) -> JSONResponse:
    _log.error("api.defect", error=type(error).__name__)
    return problem_response(
        status=500, code="tieline.defect", detail="this needs a change of Tieline, not of the call"
    )


def _word(part: Any) -> str:
    return str(part).encode("utf-8", "replace").decode()
