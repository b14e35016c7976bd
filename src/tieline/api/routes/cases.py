"""What needs a person: list, take, fix and replay, dismiss, propose what takes two people."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import (
    CaseAssigned,
    CaseDismissed,
    CaseReplayed,
    Cases,
    CasesOutlook,
    CasesSentAgain,
)
from tieline.api.bodies import TEXT_MAX, Assignment, Because, CasesAgain, CasesChosen
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.api.routes.proposals import ProposalMade, made
from tieline.casework import CaseDetail, get_case, list_cases
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.services.deciding import (
    assign_case,
    dismiss_case,
    propose_leave_out,
    replay_case,
)
from tieline.services.sending_again import find_again, preview_again, send_again

LIMIT_MAX = 500


def case_routes(doors: Doors) -> APIRouter:
    """Return what can be done about cases."""
    routes = APIRouter(tags=["cases"])
    _add_one(routes, doors)
    _add_several(routes, doors)
    return routes


def _add_several(routes: APIRouter, doors: Doors) -> None:
    @routes.post("/v1/cases:preview-again", responses=problems(400, 401, 403, 404, 409))
    def preview_several(
        body: CasesChosen, caller: Annotated[ApiCaller, Depends(doors.may("cases:write"))]
    ) -> CasesOutlook:
        """Say what sending cases again would do, and which would stay as they are; nothing is done."""
        system = doors.system
        with doors.sight(caller) as connection, unknown_is_404("case"):
            case_ids = body.case_ids or find_again(
                connection,
                reason=body.reason,
                owner_queue=body.owner_queue,
                entity_code=body.entity_code,
                assigned_to=body.assigned_to,
                now=system.clock.now(),
            )
            return CasesOutlook.of(
                preview_again(
                    connection, database=system.database, case_ids=case_ids, clock=system.clock
                )
            )

    @routes.post(
        "/v1/cases:send-again",
        response_model=CasesSentAgain,
        responses=problems(400, 401, 403, 404, 409),
    )
    def send_several(
        body: CasesAgain, change: Annotated[Change, Depends(doors.may_change("cases:write"))]
    ) -> Response:
        """Judge, read and send again what waits for cases, as it was shown: all of them, or none."""
        system = doors.system

        def work(connection: Connection[Row]) -> CasesSentAgain:
            shown = send_again(
                connection,
                database=system.database,
                case_ids=body.case_ids,
                digest=body.digest,
                reason=body.reason,
                by=change.by,
                clock=system.clock,
            )
            return CasesSentAgain(case_ids=[each.case.case_id for each in shown.sent])

        with unknown_is_404("case"):
            return change.once(body=body, work=work)


def _add_one(routes: APIRouter, doors: Doors) -> None:
    reader = doors.may("cases:write")
    changer = doors.may_change("cases:write")

    @routes.get("/v1/cases", responses=problems(401, 403))
    def cases(
        caller: Annotated[ApiCaller, Depends(reader)],
        reason: Annotated[str | None, Query(max_length=TEXT_MAX)] = None,
        state: Annotated[str, Query(pattern="^(open|closed|dismissed)$")] = "open",
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Cases:
        """List what needs a person, incidents first, then by deadline and money."""
        with doors.sight(caller) as connection:
            found = list_cases(connection, state=state, reason=reason, limit=limit, offset=offset)
        return Cases(cases=found)

    @routes.get("/v1/cases/{case_id}", responses=problems(401, 403, 404))
    def one_case(case_id: UUID, caller: Annotated[ApiCaller, Depends(reader)]) -> CaseDetail:
        """Show one case with its members."""
        with doors.sight(caller) as connection, unknown_is_404("case"):
            return get_case(connection, case_id=case_id)

    @routes.post(
        "/v1/cases/{case_id}:assign",
        response_model=CaseAssigned,
        responses=problems(400, 401, 403, 404, 409),
    )
    def assign(
        case_id: UUID, body: Assignment, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Give a case to somebody."""

        def work(connection: Connection[Row]) -> CaseAssigned:
            assign_case(
                connection, case_id=case_id, to=body.assigned_to, by=change.by, now=change.now
            )
            return CaseAssigned(case_id=case_id, assigned_to=body.assigned_to)

        with unknown_is_404("case"):
            return change.once(body=body, work=work)

    @routes.post(
        "/v1/cases/{case_id}:replay",
        response_model=CaseReplayed,
        responses=problems(400, 401, 403, 404, 409),
    )
    def replay(
        case_id: UUID, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Judge, read or send the members of a case again, after its cause was fixed."""

        def work(connection: Connection[Row]) -> CaseReplayed:
            replayed = replay_case(
                connection, case_id=case_id, reason=body.reason, by=change.by, now=change.now
            )
            return CaseReplayed(case_id=case_id, replayed=replayed)

        with unknown_is_404("case"):
            return change.once(body=body, work=work)

    @routes.post(
        "/v1/cases/{case_id}:dismiss",
        response_model=CaseDismissed,
        responses=problems(400, 401, 403, 404, 409),
    )
    def dismiss(
        case_id: UUID, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Close a case that needs nothing; refused while hours wait for it."""

        def work(connection: Connection[Row]) -> CaseDismissed:
            dismiss_case(
                connection, case_id=case_id, reason=body.reason, by=change.by, now=change.now
            )
            return CaseDismissed(case_id=case_id, state="dismissed")

        with unknown_is_404("case"):
            return change.once(body=body, work=work)

    @routes.post(
        "/v1/cases/{case_id}:leave-out",
        response_model=ProposalMade,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def leave_out(
        case_id: UUID, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Propose that the hours of a case be left out for good; a second person decides."""

        def work(connection: Connection[Row]) -> ProposalMade:
            return made(
                propose_leave_out(
                    connection, case_id=case_id, reason=body.reason, by=change.by, now=change.now
                )
            )

        with unknown_is_404("case"):
            return change.once(body=body, work=work, status=202)
