"""Which client a record is: what a case asks, and one person's answer for another to agree to."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from psycopg import Connection

from tieline.api.bodies import SameClient
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.api.routes.proposals import ProposalMade, made
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.services.same_client import Question, propose_same_client, read_question


def client_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and proposed about clients."""
    routes = APIRouter(tags=["clients"])
    reader = doors.may("cases:write")
    changer = doors.may_change("cases:write")

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
