"""Who has not handed in or approved time, reminding them, and who stands in for an approver."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import DeputyProposed, MissingHours, PeopleReminded
from tieline.api.bodies import Deputized, MissingReminded
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.governance import ApiCaller
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.services.missing_time import MissingTime, deputize, read_missing_time, remind
from tieline.services.reminding import reminding_desk

_WORD_MAX = 50


def missing_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and done about missing time."""
    routes = APIRouter(tags=["time"])
    reader = doors.may("time:read")
    changer = doors.may_change("cases:write")
    worker = doors.system.database

    def seen(caller: ApiCaller, *, entity_code: str, period_code: str) -> MissingTime:
        with doors.sight(caller) as connection:
            return read_missing_time(
                connection,
                now=doors.system.clock.now(),
                entity_code=entity_code,
                period_code=period_code,
            )

    @routes.get("/v1/missing-time", responses=problems(401, 403))
    def missing(
        caller: Annotated[ApiCaller, Depends(reader)],
        entity_code: Annotated[str, Query(max_length=_WORD_MAX)] = "",
        period_code: Annotated[str, Query(max_length=_WORD_MAX)] = "",
        approver_id: UUID | None = None,
    ) -> MissingHours:
        """List hours expected, entered, submitted and approved per person; of the period that closes next."""
        found = seen(caller, entity_code=entity_code, period_code=period_code)
        if approver_id is not None:
            found = found.of_approver(approver_id)
        return MissingHours(
            missing_seconds=found.missing_seconds,
            unapproved_seconds=found.unapproved_seconds,
            worths={currency: str(amount) for currency, amount in found.worths.items()},
            unpriced_seconds=found.unpriced_seconds,
            unknown_people=found.unknown_people,
            people=found.people,
            approvers=found.approvers,
        )

    @routes.post(
        "/v1/missing-time:remind",
        response_model=PeopleReminded,
        status_code=202,
        responses=problems(400, 401, 403, 409),
    )
    def send_reminders(
        body: MissingReminded, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Send one message to each person who is missing time or is to approve, once a day."""
        found = seen(
            change.caller, entity_code=body.entity_code or "", period_code=body.period_code or ""
        )

        def work(connection: Connection[Row]) -> PeopleReminded:
            done = remind(
                connection,
                found=found,
                desk=reminding_desk(connection, system=doors.system),
                by=change.by.login,
                reason=body.reason,
            )
            return PeopleReminded(
                messages=done.written,
                told_today_already=done.already,
                without_an_address=[each.person_id for each in done.unreached],
            )

        return change.once(body=body, work=work, status=202, database=worker)

    @routes.post(
        "/v1/missing-time:deputize",
        response_model=DeputyProposed,
        status_code=202,
        responses=problems(400, 401, 403, 409),
    )
    def let_stand_in(body: Deputized, change: Annotated[Change, Depends(changer)]) -> Response:
        """Propose who approves for an approver on some days; a second person decides."""
        found = seen(change.caller, entity_code="", period_code="")
        if body.approver_id not in {each.person.person_id for each in found.approvers}:
            raise UserMistake("nobody in your sight waits for an approval of theirs")

        def work(connection: Connection[Row]) -> DeputyProposed:
            done = deputize(
                connection,
                approver_id=body.approver_id,
                deputy=body.deputy,
                starts_on=body.starts_on,
                ends_on=body.ends_on,
                by=change.by.login,
                reason=body.reason,
                now=change.now,
                through=change.by.through,
            )
            assert done.proposal_id is not None
            return DeputyProposed(proposal_id=done.proposal_id)

        return change.once(body=body, work=work, status=202, database=worker)

    return routes
