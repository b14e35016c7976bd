"""Won deals on their way to projects."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import DealAsked, Deals
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.runtime.telemetry import correlation_id
from tieline.services.deals import (
    PLANS_PAGE_MAX,
    DealPlanDetail,
    ask_for_project,
    get_deal_plan,
    list_deal_plans,
)

_STATES = "^(blocked|ready|running|active|compensating|compensated|stuck)$"


def deal_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and done about deals."""
    routes = APIRouter(tags=["deals"])
    reader = doors.may("provisioning:write")
    changer = doors.may_change("provisioning:write")

    @routes.get("/v1/deals", responses=problems(401, 403))
    def deals(
        caller: Annotated[ApiCaller, Depends(reader)],
        state: Annotated[str | None, Query(pattern=_STATES)] = None,
        limit: Annotated[int, Query(ge=1, le=PLANS_PAGE_MAX)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Deals:
        """List won deals with the state of their plan and every blocker."""
        with doors.sight(caller) as connection:
            found = list_deal_plans(connection, state=state, limit=limit, offset=offset)
        return Deals(deals=found)

    @routes.get("/v1/deals/{plan_id}", responses=problems(401, 403, 404))
    def one_deal(plan_id: UUID, caller: Annotated[ApiCaller, Depends(reader)]) -> DealPlanDetail:
        """Show what each system will get of a deal, what is done, and every blocker."""
        with doors.sight(caller) as connection, unknown_is_404("deal"):
            return get_deal_plan(connection, plan_id=plan_id)

    @routes.post(
        "/v1/deals/{plan_id}:provision",
        response_model=DealAsked,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def provision(plan_id: UUID, change: Annotated[Change, Depends(changer)]) -> Response:
        """Have a plan carried out by a worker; one that was taken back is tried again."""

        def work(connection: Connection[Row]) -> DealAsked:
            asked = ask_for_project(connection, plan_id=plan_id, correlation_id=correlation_id())
            return DealAsked(plan_id=plan_id, state=asked.state)

        with unknown_is_404("deal"):
            return change.once(body=None, work=work, status=202)

    return routes
