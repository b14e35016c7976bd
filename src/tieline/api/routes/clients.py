"""Clients as all systems know them, and which client a record is: one person's answer for another."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import Clients
from tieline.api.bodies import TEXT_MAX, SameClient
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.api.routes.proposals import ProposalMade, made
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.services.register_lists import (
    LIST_MAX,
    LinkState,
    ListedClient,
    get_client,
    list_clients,
)
from tieline.services.same_client import Question, propose_same_client, read_question

_ENTITY_MAX = 40


def client_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and proposed about clients."""
    routes = APIRouter(tags=["clients"])
    looker = doors.may("time:read")
    reader = doors.may("cases:write")
    changer = doors.may_change("cases:write")

    @routes.get("/v1/clients", responses=problems(401, 403))
    def clients(
        caller: Annotated[ApiCaller, Depends(looker)],
        name: Annotated[str | None, Query(min_length=1, max_length=TEXT_MAX)] = None,
        entity_code: Annotated[str | None, Query(max_length=_ENTITY_MAX)] = None,
        link_state: Annotated[LinkState | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Clients:
        """List clients with their record in every system, why it is this client, and open cases."""
        with doors.sight(caller) as connection:
            found = list_clients(
                connection,
                systems=doors.system.systems,
                name=name,
                entity_code=entity_code,
                link_state=link_state,
                limit=limit,
                offset=offset,
            )
        return Clients(clients=found)

    @routes.get("/v1/clients/{client_id}", responses=problems(401, 403, 404))
    def one_client(client_id: UUID, caller: Annotated[ApiCaller, Depends(looker)]) -> ListedClient:
        """Show one client; one that was merged answers as the one it became."""
        with doors.sight(caller) as connection, unknown_is_404("client"):
            return get_client(connection, client_id=client_id, systems=doors.system.systems)

    @routes.get("/v1/cases/{case_id}/clients", responses=problems(401, 403, 404))
    def which_clients(case_id: UUID, caller: Annotated[ApiCaller, Depends(reader)]) -> Question:
        """Show the record that a case is about and the clients it may be."""
        with doors.sight(caller) as connection, unknown_is_404("case"):
            return read_question(connection, case_id=case_id)

    @routes.post(
        "/v1/cases/{case_id}:same-client",
        response_model=ProposalMade,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def same_client(
        case_id: UUID, body: SameClient, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Propose which client the record of a case is; a second person decides."""

        def work(connection: Connection[Row]) -> ProposalMade:
            return made(
                propose_same_client(
                    connection,
                    case_id=case_id,
                    client_id=body.client_id,
                    reason=body.reason,
                    by=change.by.login,
                    through=change.by.through,
                    now=change.now,
                )
            )

        with unknown_is_404("case"):
            return change.once(body=body, work=work, status=202)

    return routes
