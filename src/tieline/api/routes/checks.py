"""The checks that always run: what each says, what is stopped because of it, and going on."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from psycopg import Connection

from tieline.api.answers import StandingChecks
from tieline.api.bodies import Because
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.api.routes.proposals import ProposalMade, made
from tieline.governance import ApiCaller
from tieline.posting import list_stops
from tieline.reconciliation import NOT_CHECKED, list_results
from tieline.runtime.database import Row
from tieline.services.standing_checks import propose_lift


def check_routes(doors: Doors) -> APIRouter:
    """Return what can be asked about checks and proposed about stops."""
    routes = APIRouter(tags=["checks"])
    reader = doors.may("time:read")
    changer = doors.may_change("close:write")

    @routes.get("/v1/checks", responses=problems(401, 403))
    def checks(caller: Annotated[ApiCaller, Depends(reader)]) -> StandingChecks:
        """Say what each check says, what was not checked, and where posting is stopped."""
        with doors.sight(caller) as connection:
            results = list_results(connection)
            stops = list_stops(connection)
        return StandingChecks(
            checks=results,
            not_checked=sum(1 for each in results if each.state == NOT_CHECKED),
            stops=stops,
        )

    @routes.post(
        "/v1/stops/{stop_id}:lift",
        response_model=ProposalMade,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def lift(stop_id: UUID, body: Because, change: Annotated[Change, Depends(changer)]) -> Response:
        """Propose that posting go on although a check is red; a second person decides."""

        def work(connection: Connection[Row]) -> ProposalMade:
            return made(
                propose_lift(
                    connection,
                    stop_id=stop_id,
                    reason=body.reason,
                    by=change.by.login,
                    through=change.by.through,
                    now=change.now,
                )
            )

        with unknown_is_404("stop"):
            return change.once(body=body, work=work, status=202)

    return routes
