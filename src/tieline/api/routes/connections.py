"""Connections: how they are, what was refused, a pause, and the hints that vendors send."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from psycopg import Connection

from tieline.api.answers import (
    ConnectionPaused,
    Connections,
    ConnectionStatus,
    Drifts,
    HintsTaken,
)
from tieline.api.bodies import TEXT_MAX, Because
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import Problem, unknown_is_404
from tieline.governance import ApiCaller
from tieline.intake import take_hints
from tieline.kernel.errors import AskPerson, UserMistake
from tieline.register import list_drifts
from tieline.runtime.database import Row
from tieline.runtime.telemetry import correlation_id
from tieline.runtime.work import PROVISIONING, schedule
from tieline.sdk import Hint
from tieline.services.pausing import set_paused
from tieline.services.reading import READ_MARKED

Key = Annotated[str, Path(min_length=1, max_length=TEXT_MAX)]


def connection_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and done about connections."""
    routes = APIRouter(tags=["connections"])
    changer = doors.may_change("admin")

    @routes.get("/v1/connections", responses=problems(401, 403))
    def connections(caller: Annotated[ApiCaller, Depends(doors.may("time:read"))]) -> Connections:
        """List connections with their mode and how fresh and healthy they are."""
        with doors.sight(caller) as connection:
            rows = connection.execute("SELECT * FROM page_connections()").fetchall()
        return Connections(connections=[ConnectionStatus(**row) for row in rows])

    @routes.get("/v1/drifts", responses=problems(401, 403))
    def drifts(caller: Annotated[ApiCaller, Depends(doors.may("time:read"))]) -> Drifts:
        """List changes that were refused because another system owns the field."""
        with doors.sight(caller) as connection:
            return Drifts(drifts=list_drifts(connection))

    @routes.post(
        "/v1/connections/{connection_key}:pause",
        response_model=ConnectionPaused,
        responses=problems(400, 401, 403, 404),
    )
    def pause(
        connection_key: Key, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Stop reading from and writing to a system until it is resumed."""
        return _set_paused(change, connection_key, body, is_paused=True)

    @routes.post(
        "/v1/connections/{connection_key}:resume",
        response_model=ConnectionPaused,
        responses=problems(400, 401, 403, 404),
    )
    def resume(
        connection_key: Key, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Let a paused connection go on."""
        return _set_paused(change, connection_key, body, is_paused=False)

    return routes


def webhook_routes(doors: Doors) -> APIRouter:
    """Return the addresses that vendors call; their signature is their key."""
    routes = APIRouter(tags=["webhooks"])

    @routes.post("/v1/webhooks/{connection_key}", responses=problems(400, 401, 404, 409))
    def webhook(
        connection_key: Key, request: Request, body: Annotated[bytes, Depends(_raw_body)]
    ) -> HintsTaken:
        """Take hints in; answered once they are committed, and never believed: they are read."""
        return _take(doors, connection_key, request, body)

    return routes


async def _raw_body(request: Request) -> bytes:
    return await request.body()


def _take(doors: Doors, connection_key: str, request: Request, body: bytes) -> HintsTaken:
    hints = _verified(doors, connection_key, request, body)
    with doors.system.web_database.transaction() as connection:
        marked = take_hints(
            connection,
            connection_key=connection_key,
            hints=hints,
            now=doors.system.clock.now(),
            correlation_id=correlation_id(),
        )
        schedule(
            connection, kind=READ_MARKED, subject=connection_key, work_class=PROVISIONING,
            correlation_id=correlation_id(),
        )  # fmt: skip
    return HintsTaken(marked=marked)


def _verified(doors: Doors, connection_key: str, request: Request, body: bytes) -> list[Hint]:
    try:
        connector = doors.system.connectors.get(connection_key=connection_key)
        read_webhook = connector.read_webhook
    except (LookupError, AttributeError) as error:
        raise Problem(
            status=404, code="webhook.unknown", detail="nobody sends hints to this address"
        ) from error
    try:
        return list(
            read_webhook(
                method=request.method,
                url=str(request.url),
                body=body,
                headers=dict(request.headers),
                now=doors.system.clock.now(),
            )
        )
    except AskPerson as error:
        raise Problem(status=401, code=error.code, detail=str(error)) from error
    except UserMistake as error:
        raise Problem(status=400, code=error.code, detail=str(error)) from error


def _set_paused(change: Change, connection_key: str, body: Because, *, is_paused: bool) -> Response:
    def work(connection: Connection[Row]) -> ConnectionPaused:
        set_paused(
            connection,
            connection_key=connection_key,
            is_paused=is_paused,
            by=change.by.login,
            through=change.by.through,
            reason=body.reason,
            now=change.now,
        )
        return ConnectionPaused(connection_key=connection_key, paused=is_paused)

    with unknown_is_404("connection"):
        return change.once(body=body, work=work)
