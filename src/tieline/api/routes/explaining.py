"""The whole way of one thing."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from tieline.api.answers import UnconfirmedWrites, Way, WayStep
from tieline.api.bodies import TEXT_MAX
from tieline.api.callers import Doors
from tieline.api.describing import problems
from tieline.api.problems import Problem
from tieline.governance import ApiCaller, show_costs
from tieline.kernel.errors import UserMistake
from tieline.services.explain import explain
from tieline.services.links import read_links
from tieline.services.unconfirmed import list_unconfirmed

Kind = Literal["deal", "hour", "case", "invoice-line"]


def explaining_routes(doors: Doors) -> APIRouter:
    """Return what can be explained."""
    routes = APIRouter(tags=["explain"])
    system = doors.system

    @routes.get("/v1/explain/{kind}", responses=problems(401, 403, 404))
    def explain_one(
        kind: Kind,
        ref: Annotated[str, Query(min_length=1, max_length=TEXT_MAX)],
        caller: Annotated[ApiCaller, Depends(doors.may("time:read"))],
    ) -> Way:
        """Show the whole way of a deal, hour, case or invoice line, named connection:ref or by id.

        What concerns another legal entity, even in part, is answered as if it did not exist.
        """
        unknown = Problem(
            status=404, code="explain.unknown", detail=f"no such {kind} is in your sight"
        )
        try:
            # The judge reads every legal entity and writes nothing; what it found is weighed here.
            with system.judge_database.transaction() as connection:
                if caller.sees_costs:
                    show_costs(connection)
                links = read_links(connection, systems=system.systems)
                found = explain(connection, kind=kind, ref=ref, links=links, now=system.clock.now())
        except UserMistake as error:
            raise unknown from error
        if not caller.entities or not found.entities <= set(caller.entities):
            raise unknown
        return Way(
            kind=found.kind,
            ref=found.ref,
            steps=[
                WayStep(
                    at=step.at,
                    system=step.system,
                    what=step.what,
                    facts=dict(step.facts),
                    link=step.link,
                )
                for step in found.steps
            ],
        )

    @routes.get("/v1/unconfirmed", responses=problems(401, 403))
    def unconfirmed(
        caller: Annotated[ApiCaller, Depends(doors.may("time:read"))],
        entity: Annotated[str | None, Query(max_length=TEXT_MAX)] = None,
    ) -> UnconfirmedWrites:
        """Say in words what was sent and is not confirmed, the nearest deadline first."""
        with doors.sight(caller) as connection:
            return UnconfirmedWrites(
                writes=list_unconfirmed(connection, now=system.clock.now(), entity_code=entity)
            )

    return routes
