"""How running projects stand, for a delivery manager's own tools."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from tieline.api.answers import DeliveryHours
from tieline.api.callers import Doors
from tieline.api.describing import problems
from tieline.governance import ApiCaller
from tieline.services.delivery import State, read_delivery

_WORD_MAX = 200
_LIST_MAX = 500


def delivery_routes(doors: Doors) -> APIRouter:
    """Return what can be asked about running projects."""
    routes = APIRouter(tags=["assignments"])

    @routes.get("/v1/delivery", responses=problems(401, 403))
    def delivery(
        caller: Annotated[ApiCaller, Depends(doors.may("time:read"))],
        entity_code: Annotated[str, Query(max_length=_WORD_MAX)] = "",
        state: State = State.ALL,
        approver_id: UUID | None = None,
        words: Annotated[str, Query(max_length=_WORD_MAX)] = "",
        limit: Annotated[int, Query(ge=1, le=_LIST_MAX)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> DeliveryHours:
        """List sold, planned, booked, approved and billed hours per project, and who is to be assigned anew."""
        with doors.sight(caller) as connection:
            whole = read_delivery(
                connection,
                systems=doors.system.systems,
                now=doors.system.clock.now(),
                entity_code=entity_code,
            )
        found = whole.of(state=state, approver_id=approver_id, words=words)
        return DeliveryHours(
            sold_seconds=found.sold_seconds,
            planned_seconds=found.planned_seconds,
            booked_seconds=found.booked_seconds,
            approved_seconds=found.approved_seconds,
            billed_seconds=found.billed_seconds,
            assignments_ending=len(found.ending),
            assignments_exceeded=len(found.exceeded),
            people_without_assignment=len(found.strays),
            entities_without_staffing=found.unstaffed,
            projects_in_all=len(found.projects),
            projects=found.projects[offset : offset + limit],
        )

    return routes
