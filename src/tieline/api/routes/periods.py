"""Fiscal periods: what still moves in one, and proposing to close it or open it again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import Accrual, PeriodAccruals, PeriodInFlight, Periods
from tieline.api.bodies import PeriodClosing, Reopening
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.api.routes.proposals import ProposalMade, made
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.services.accruals import read_accruals
from tieline.services.period_close import (
    PERIODS_PAGE_MAX,
    get_period,
    list_periods,
    list_reopened,
    look_in_flight,
    propose_close,
    propose_reopen,
)

_PERIOD_MAX = 20
_ENTITY_MAX = 50


def period_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and proposed about fiscal periods."""
    routes = APIRouter(tags=["close"])
    reader = doors.may("time:read")
    changer = doors.may_change("close:write")

    @routes.get("/v1/periods", responses=problems(401, 403))
    def periods(
        caller: Annotated[ApiCaller, Depends(reader)],
        entity_code: Annotated[str | None, Query(max_length=_ENTITY_MAX)] = None,
        period_code: Annotated[str | None, Query(max_length=_PERIOD_MAX)] = None,
        limit: Annotated[int, Query(ge=1, le=PERIODS_PAGE_MAX)] = 100,
    ) -> Periods:
        """List fiscal periods, the newest first, and whether they are open."""
        with doors.sight(caller) as connection:
            found = list_periods(
                connection, entity_code=entity_code, period_code=period_code, limit=limit
            )
            reopened = list_reopened(connection)
        return Periods(periods=found, reopened=reopened)

    @routes.get("/v1/periods/{period_id}", responses=problems(401, 403, 404))
    def one_period(
        period_id: UUID, caller: Annotated[ApiCaller, Depends(reader)]
    ) -> PeriodInFlight:
        """Show what still moves in a period."""
        with doors.sight(caller) as connection, unknown_is_404("period"):
            return PeriodInFlight(
                period=get_period(connection, period_id=period_id),
                in_flight=look_in_flight(connection, period_id=period_id),
            )

    @routes.get("/v1/periods/{period_id}/accruals", responses=problems(401, 403, 404))
    def accruals(period_id: UUID, caller: Annotated[ApiCaller, Depends(reader)]) -> PeriodAccruals:
        """Offer what of a period is not in the ERP as accrual lines, with their reversal."""
        with doors.sight(caller) as connection, unknown_is_404("period"):
            found = read_accruals(connection, period_id=period_id)
        return PeriodAccruals(
            period=found.period,
            lines=[
                Accrual(
                    line=line,
                    reversal_amount=None
                    if line.reversal_amount is None
                    else str(line.reversal_amount),
                )
                for line in found.lines
            ],
            amounts={currency: str(amount) for currency, amount in found.amounts.items()},
            approved_seconds=found.approved_seconds,
            tie_out_seconds=found.tie_out_seconds,
            adds_up=found.adds_up,
        )

    @routes.post(
        "/v1/periods/{period_id}:close",
        response_model=ProposalMade,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def close(
        period_id: UUID, body: PeriodClosing, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Propose to close a period; a second person decides. Nothing is closed in the ERP."""

        def work(connection: Connection[Row]) -> ProposalMade:
            return made(
                propose_close(
                    connection,
                    period_id=period_id,
                    reason=body.reason or "",
                    by=change.by.login,
                    through=change.by.through,
                    now=change.now,
                )
            )

        with unknown_is_404("period"):
            return change.once(body=body, work=work, status=202)

    @routes.post(
        "/v1/periods/{period_id}:reopen",
        response_model=ProposalMade,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def reopen(
        period_id: UUID, body: Reopening, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Propose to open a closed period again; a second person decides."""

        def work(connection: Connection[Row]) -> ProposalMade:
            return made(
                propose_reopen(
                    connection,
                    period_id=period_id,
                    reason=body.reason,
                    until_on=body.until_on,
                    by=change.by.login,
                    through=change.by.through,
                    now=change.now,
                )
            )

        with unknown_is_404("period"):
            return change.once(body=body, work=work, status=202)

    return routes
