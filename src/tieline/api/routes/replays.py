"""Send again: what it would do, and proposing it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from psycopg import Connection

from tieline.api.answers import ReplayPlanned
from tieline.api.bodies import Replay, ReplayFilter
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.api.routes.proposals import ProposalMade, made
from tieline.governance import ApiCaller
from tieline.intake import Slice
from tieline.runtime.database import Row
from tieline.services.replaying import must_see, propose_replay
from tieline.services.workday import Workday


def replay_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and proposed about replays."""
    routes = APIRouter(tags=["replays"])
    asker = doors.may("cases:write")
    changer = doors.may_change("cases:write")

    @routes.post("/v1/replays:plan", responses=problems(400, 401, 403, 404, 409))
    def plan(body: ReplayFilter, caller: Annotated[ApiCaller, Depends(asker)]) -> ReplayPlanned:
        """Say what a replay would do; nothing is done."""
        planned = Workday(system=doors.system).replaying().plan(slice=_slice(body))
        with unknown_is_404("connection"):
            must_see(planned, caller.entities)
        return ReplayPlanned(plan=planned, needs_second_person=planned.needs_second_person)

    @routes.post(
        "/v1/replays",
        response_model=ProposalMade,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def propose(body: Replay, change: Annotated[Change, Depends(changer)]) -> Response:
        """Propose a replay; a second person decides, and a worker carries it out."""

        def work(connection: Connection[Row]) -> ProposalMade:
            planned = Workday(system=doors.system).replaying().plan(slice=_slice(body))
            return made(
                propose_replay(
                    connection,
                    plan=planned,
                    entities=change.caller.entities,
                    by=change.by.login,
                    through=change.by.through,
                    reason=body.reason,
                    now=change.now,
                )
            )

        with unknown_is_404("connection"):
            return change.once(body=body, work=work, status=202)

    return routes


def _slice(body: ReplayFilter) -> Slice:
    return Slice(
        connection_key=body.connection_key,
        object=body.object,
        since=body.since,
        until=body.until,
        worked_since=body.worked_since,
        worked_until=body.worked_until,
        refs=tuple(body.refs),
    )
