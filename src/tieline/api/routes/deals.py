"""Won deals on their way to projects."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import DealApplied, DealAsked, DealPlanShown, Deals, SystemWrites
from tieline.api.bodies import DealToApply, DealToPlan
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.runtime.telemetry import correlation_id
from tieline.services.at_risk import NO_WISH, Risk, Wish
from tieline.services.deals import (
    PLANS_PAGE_MAX,
    DealPlanDetail,
    ask_for_project,
    count_deal_plans,
    describe_handover,
    get_deal_plan,
    list_deal_plans,
)
from tieline.services.handing_over import apply_handover, get_in_sight, show_handover
from tieline.services.handover_drawing import Handover, by_system
from tieline.services.handover_forecast import forecast_handover
from tieline.services.shown_plans import Chosen

_STATES = "^(blocked|ready|running|active|compensating|compensated|stuck|closing|closed)$"


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
        """List won deals with the state of their plan and every blocker, and say when the last one is active."""
        with doors.sight(caller) as connection:
            found = list_deal_plans(
                connection, states=None if state is None else (state,), limit=limit, offset=offset
            )
            states = count_deal_plans(connection)
        with doors.system.database.transaction() as connection:
            forecast = forecast_handover(connection, states=states, now=doors.system.clock.now())
        return Deals(deals=found, forecast=forecast)

    @routes.post(
        "/v1/deals:plan", response_model=DealPlanShown, responses=problems(400, 401, 403, 404, 409)
    )
    def plan(body: DealToPlan, change: Annotated[Change, Depends(changer)]) -> Response:
        """Show what each system would receive of a deal, field by field, with every check; nothing begins."""

        def work(connection: Connection[Row]) -> DealPlanShown:
            drawn = _in_sight(connection, body.deal, change, wish=_wish(body))
            shown = show_handover(connection, drawn=drawn, to=change.by.login, now=change.now)
            return DealPlanShown(
                deal=describe_handover(connection, drawn=drawn),
                kind=drawn.kind,
                changes=drawn.changes,
                digest=shown.digest,
                systems=[
                    SystemWrites(system=key, writes=writes)
                    for key, writes in by_system(drawn.writes).items()
                ],
                checks=drawn.checks,
                risk=drawn.risk,
            )

        with unknown_is_404("deal"):
            return change.once(body=body, work=work, database=doors.system.database)

    @routes.post(
        "/v1/deals:apply",
        response_model=DealApplied,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def apply(body: DealToApply, change: Annotated[Change, Depends(changer)]) -> Response:
        """Carry out the very plan that was shown, or have a second person agree; a stale one is refused."""

        def work(connection: Connection[Row]) -> DealApplied:
            _in_sight(connection, body.deal, change)
            applied = apply_handover(
                connection,
                ref=body.deal,
                chosen=Chosen(digest=body.digest),
                by=change.by.login,
                through=change.by.through,
                reason=body.reason,
                now=change.now,
            )
            return DealApplied(
                plan_id=applied.plan_id, state=applied.state, proposal_id=applied.proposal_id
            )

        with unknown_is_404("deal"):
            return change.once(body=body, work=work, status=202, database=doors.system.database)

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


def _wish(body: DealToPlan) -> Wish:
    if body.at_risk is None:
        return Wish(is_lost=body.is_lost, client_from=body.client_from)
    risk = Risk(
        sponsor=body.at_risk.sponsor,
        limit_amount=Decimal(body.at_risk.limit_amount),
        ends_on=body.at_risk.ends_on,
    )
    return Wish(risk=risk, is_lost=body.is_lost, client_from=body.client_from)


def _in_sight(
    connection: Connection[Row], deal: str, change: Change, *, wish: Wish = NO_WISH
) -> Handover:
    """Draw a deal's plan in sight of the caller.

    :raises LookupError: nobody knows the deal, or it is not in the caller's sight.
    """
    return get_in_sight(
        connection, ref=deal, entities=change.caller.entities, now=change.now, wish=wish
    )
