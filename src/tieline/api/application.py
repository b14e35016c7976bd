"""The routes of /v1; each is one transaction."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Header, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from tieline import __version__
from tieline.api.gate import BodyGate
from tieline.api.problems import Problem, answer_problem, problem_response
from tieline.casework import assign, fix_and_replay, get_case, list_cases
from tieline.governance import ApiCaller, open_web_transaction, verify_api_key
from tieline.kernel.errors import TielineError, UserMistake
from tieline.runtime.telemetry import Metrics
from tieline.services.invoice_readiness import list_readiness
from tieline.services.system import System
from tieline.validation import Candidate, preview

LIMIT_MAX = 500
ENTRIES_MAX = 100
_TEXT_MAX = 200
_SECONDS_MAX = 366 * 24 * 3600

Text = Annotated[str, Field(min_length=1, max_length=_TEXT_MAX)]


class StrictModel(BaseModel):
    """Take what is described and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class EntryToValidate(StrictModel):
    """An hour as it would be booked, in the words of its connection."""

    connection_key: Text
    source_ref: Text
    person_ref: Text
    project_ref: Text | None
    task_ref: Text | None
    labor_category: Text | None = None
    work_date: Annotated[date, Field(strict=False)] | None
    seconds: Annotated[int, Field(ge=-_SECONDS_MAX, le=_SECONDS_MAX)]
    is_billable: bool | None
    is_approved: bool
    narrative_length: Annotated[int, Field(ge=0, le=100_000)]


class EntriesToValidate(StrictModel):
    """Up to a hundred hours."""

    entries: Annotated[list[EntryToValidate], Field(min_length=1, max_length=ENTRIES_MAX)]


class Assignment(StrictModel):
    """Who takes care of a case."""

    assigned_to: Text


class Replay(StrictModel):
    """Why the members of a case are judged again."""

    reason: Text


def create_api(system: System) -> FastAPI:
    """Return the application of /v1 on one installation."""
    api = FastAPI(
        title="Tieline", version=__version__, openapi_url="/v1/openapi.json", docs_url=None
    )
    api.add_middleware(BodyGate)
    api.add_exception_handler(Problem, answer_problem)
    api.add_exception_handler(RequestValidationError, _answer_invalid)
    api.add_exception_handler(TielineError, _answer_error)
    _add_open_routes(api, system)
    _add_time_routes(api, system)
    _add_case_routes(api, system)
    _add_close_routes(api, system)
    return api


def _may(system: System, scope: str) -> Callable[..., ApiCaller]:
    def caller(authorization: Annotated[str | None, Header(max_length=500)] = None) -> ApiCaller:
        kind, _, secret = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not secret:
            raise Problem(status=401, code="key.missing", detail="send a key as a bearer token")
        with system.database.transaction() as connection:
            found = verify_api_key(
                connection, pepper=system.pepper, secret=secret, now=system.clock.now()
            )
        if found is None:
            raise Problem(status=401, code="key.unknown", detail="the key opens nothing")
        if not found.may(scope):
            raise Problem(
                status=403, code="key.scope_missing", detail=f"the key has no scope {scope}"
            )
        return found

    return caller


def _add_open_routes(api: FastAPI, system: System) -> None:
    metrics = Metrics(database=system.database)

    @api.get("/healthz")
    def healthz() -> dict[str, str]:
        """Say that the process and its database answer."""
        with system.web_database.transaction() as connection:
            connection.execute("SELECT 1")
        return {"status": "ok", "version": __version__}

    @api.get("/metrics")
    def read_metrics() -> Response:
        """Return queue depth, lag and outcome counts for Prometheus."""
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")


def _add_time_routes(api: FastAPI, system: System) -> None:
    @api.post("/v1/time-entries:validate")
    def validate(
        body: EntriesToValidate, caller: Annotated[ApiCaller, Depends(_may(system, "time:read"))]
    ) -> dict[str, Any]:
        """Judge hours that are not stored, by the engine that judges a million."""
        candidates = [Candidate(**entry.model_dump()) for entry in body.entries]
        with system.judge_database.transaction() as connection:
            verdicts = preview(connection, entries=candidates, now=system.clock.now())
        return {
            "verdicts": [
                {
                    "source_ref": verdict.source_ref,
                    "outcome": verdict.outcome,
                    "amount": None if verdict.amount is None else str(verdict.amount),
                    "currency": verdict.currency,
                    "reasons": [
                        {"code": code, "severity": severity, "message": message, "fix": fix}
                        for code, severity, message, fix in verdict.reasons
                    ],
                }
                if verdict.entity_code is None or verdict.entity_code in caller.entities
                else {"source_ref": verdict.source_ref, "outcome": "not_visible", "reasons": []}
                for verdict in verdicts
            ]
        }


def _add_case_routes(api: FastAPI, system: System) -> None:
    @api.get("/v1/cases")
    def cases(
        caller: Annotated[ApiCaller, Depends(_may(system, "cases:write"))],
        reason: Annotated[str | None, Query(max_length=_TEXT_MAX)] = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> dict[str, Any]:
        """List what needs a person, most money first."""
        with open_web_transaction(system.web_database, entities=caller.entities) as connection:
            found = list_cases(connection, reason=reason, limit=limit, offset=offset)
        return {"cases": found}

    @api.get("/v1/cases/{case_id}")
    def one_case(
        case_id: UUID, caller: Annotated[ApiCaller, Depends(_may(system, "cases:write"))]
    ) -> Any:
        """Show one case with its members."""
        with open_web_transaction(system.web_database, entities=caller.entities) as connection:
            try:
                return get_case(connection, case_id=case_id)
            except LookupError as error:
                raise Problem(
                    status=404, code="case.unknown", detail="no such case is in your sight"
                ) from error

    @api.post("/v1/cases/{case_id}:assign")
    def assign_case(
        case_id: UUID,
        body: Assignment,
        caller: Annotated[ApiCaller, Depends(_may(system, "cases:write"))],
    ) -> dict[str, str]:
        """Give a case to somebody."""
        with open_web_transaction(system.web_database, entities=caller.entities) as connection:
            assign(connection, case_id=case_id, to=body.assigned_to)
        return {"case_id": str(case_id), "assigned_to": body.assigned_to}

    @api.post("/v1/cases/{case_id}:replay")
    def replay_case(
        case_id: UUID,
        body: Replay,
        caller: Annotated[ApiCaller, Depends(_may(system, "cases:write"))],
    ) -> dict[str, Any]:
        """Judge the members of a case again, after its cause was fixed."""
        with open_web_transaction(system.web_database, entities=caller.entities) as connection:
            replayed = fix_and_replay(
                connection,
                case_id=case_id,
                by=caller.name,
                reason=body.reason,
                now=system.clock.now(),
            )
        return {"case_id": str(case_id), "replayed": replayed}


def _add_close_routes(api: FastAPI, system: System) -> None:
    @api.get("/v1/close")
    def close(
        caller: Annotated[ApiCaller, Depends(_may(system, "time:read"))],
    ) -> dict[str, Any]:
        """Show per legal entity and period the line that adds up, in seconds."""
        with open_web_transaction(system.web_database, entities=caller.entities) as connection:
            rows = connection.execute("SELECT * FROM page_tie_out()").fetchall()
        return {"periods": rows}

    @api.get("/v1/readiness")
    def readiness(
        caller: Annotated[ApiCaller, Depends(_may(system, "time:read"))],
        period_code: Annotated[str | None, Query(max_length=20)] = None,
    ) -> dict[str, Any]:
        """List contracts and periods with what stands before their invoice."""
        with open_web_transaction(system.web_database, entities=caller.entities) as connection:
            found = list_readiness(connection, period_code=period_code)
        return {"contracts": found}


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    places = "; ".join(
        f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"
        for found in error.errors()[:5]
    )
    return problem_response(status=422, code="request.invalid", detail=places)


async def _answer_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TielineError)
    status = 409 if isinstance(error, UserMistake) else 503
    return problem_response(status=status, code=error.code, detail=str(error))
