"""What changed after it was posted, and agreeing to its correction."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import Changes, ChangesAgreed, Corrections
from tieline.api.bodies import ChangesChosen, ChangesCredited
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.routes.proposals import ProposalMade, made
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.services.changes import (
    CHANGES_PAGE_MAX,
    agree_to_changes,
    list_changes,
    list_credits,
    preview_corrections,
    propose_credited,
    sum_changes,
)

_WORD_MAX = 50
_PREVIEWED_MAX = 100


def change_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and agreed about posted hours that changed."""
    routes = APIRouter(tags=["close"])
    reader = doors.may("time:read")
    changer = doors.may_change("close:write")

    @routes.get("/v1/changes", responses=problems(401, 403))
    def changes(
        caller: Annotated[ApiCaller, Depends(reader)],
        entity_code: Annotated[str | None, Query(max_length=_WORD_MAX)] = None,
        period_code: Annotated[str | None, Query(max_length=_WORD_MAX)] = None,
        state: Annotated[str | None, Query(max_length=_WORD_MAX)] = None,
        limit: Annotated[int, Query(ge=1, le=CHANGES_PAGE_MAX)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Changes:
        """List hours that changed after they were posted, with net money per period and currency."""
        with doors.sight(caller) as connection:
            found, total = list_changes(
                connection,
                entity_code=entity_code,
                period_code=period_code,
                state=state,
                limit=limit,
                offset=offset,
            )
            return Changes(
                sums=sum_changes(connection),
                changes=found,
                total=total,
                credits=list_credits(connection),
            )

    @routes.get("/v1/changes:preview", responses=problems(400, 401, 403, 409))
    def preview(
        caller: Annotated[ApiCaller, Depends(reader)],
        change_id: Annotated[list[UUID], Query(min_length=1, max_length=_PREVIEWED_MAX)],
    ) -> Corrections:
        """Say what agreeing to changes would do; nothing is stored."""
        with doors.sight(caller) as connection:
            return Corrections(
                corrections=preview_corrections(
                    connection, change_ids=change_id, connectors=doors.system.connectors
                )
            )

    @routes.post(
        "/v1/changes:agree",
        response_model=ChangesAgreed,
        status_code=202,
        responses=problems(400, 401, 403, 409),
    )
    def agree(body: ChangesChosen, change: Annotated[Change, Depends(changer)]) -> Response:
        """Agree to changes; where money moves a second person decides."""

        def work(connection: Connection[Row]) -> ChangesAgreed:
            done = agree_to_changes(
                connection,
                change_ids=body.change_ids,
                reason=body.reason,
                by=change.by.login,
                connectors=doors.system.connectors,
                now=change.now,
                through=change.by.through,
            )
            return ChangesAgreed(
                agreed=done.agreed, proposal_ids=[each.proposal_id for each in done.proposals]
            )

        return change.once(body=body, work=work, status=202)

    @routes.post(
        "/v1/changes:credited",
        response_model=ProposalMade,
        status_code=202,
        responses=problems(400, 401, 403, 409),
    )
    def credited(body: ChangesCredited, change: Annotated[Change, Depends(changer)]) -> Response:
        """Say which credit note of the ERP stands for changes; a second person decides."""

        def work(connection: Connection[Row]) -> ProposalMade:
            return made(
                propose_credited(
                    connection,
                    change_ids=body.change_ids,
                    credit_number=body.credit_number,
                    reason=body.reason,
                    by=change.by.login,
                    through=change.by.through,
                    now=change.now,
                )
            )

        return change.once(body=body, work=work, status=202)

    return routes
