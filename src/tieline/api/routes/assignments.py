"""Who is on which project, and where that stands."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from tieline.api.answers import Assignments
from tieline.api.bodies import TEXT_MAX
from tieline.api.callers import Doors
from tieline.api.describing import problems
from tieline.governance import ApiCaller
from tieline.services.register_lists import LIST_MAX, list_assignments

_ENTITY_MAX = 40


def assignment_routes(doors: Doors) -> APIRouter:
    """Return what can be asked about assignments."""
    routes = APIRouter(tags=["assignments"])

    @routes.get("/v1/assignments", responses=problems(401, 403))
    def assignments(
        caller: Annotated[ApiCaller, Depends(doors.may("time:read"))],
        project_code: Annotated[str | None, Query(max_length=TEXT_MAX)] = None,
        person_id: Annotated[UUID | None, Query()] = None,
        entity_code: Annotated[str | None, Query(max_length=_ENTITY_MAX)] = None,
        on: Annotated[date | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Assignments:
        """List who is on which project and when, who said so, and where it stands or why not."""
        with doors.sight(caller) as connection:
            found = list_assignments(
                connection,
                systems=doors.system.systems,
                project_code=project_code,
                person_id=person_id,
                entity_code=entity_code,
                on_date=on,
                limit=limit,
                offset=offset,
            )
        return Assignments(assignments=found)

    return routes
