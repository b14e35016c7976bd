"""What connected systems already hold: proposed with a reason, linked or left as a person confirmed."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import Adoption, AdoptionAsked, AdoptionDecided
from tieline.api.bodies import AdoptionDecisions
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.services.adopting import adopt, decide, list_go_lives, read_stages
from tieline.services.proposing_links import (
    Filters,
    Record,
    ask_again,
    list_proposals,
    read_look,
    tally,
)
from tieline.services.what_if_runs import must_see_all

_WORD_MAX = 200
_LIST_MAX = 1_000
_Noun = Literal["", "client", "person", "project", "task", "erp_task"]
_State = Literal[
    "", "strong", "weak", "several", "rivals", "taken", "nothing", "client", "left"
]  # fmt: skip


def adoption_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and said about records without a link."""
    routes = APIRouter(tags=["clients"])
    reader = doors.may("cases:write")
    changer = doors.may_change("cases:write")
    worker = doors.system.database

    @routes.get("/v1/adoption", responses=problems(401, 403, 409))
    def proposals(
        caller: Annotated[ApiCaller, Depends(reader)],
        connection_key: Annotated[str, Query(max_length=_WORD_MAX)] = "",
        noun: _Noun = "",
        state: _State = "",
        words: Annotated[str, Query(max_length=_WORD_MAX)] = "",
        limit: Annotated[int, Query(ge=1, le=_LIST_MAX)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Adoption:
        """List records without a link, what each most likely is and why, and how far each system is."""
        filters = Filters(connection_key=connection_key, noun=noun, state=state, words=words)
        with worker.transaction() as connection:
            must_see_all(connection, caller.entities)
            look, found = read_look(connection), tally(connection)
            return Adoption(
                proposed_at=look.known_at,
                is_being_proposed=look.state != "done",
                not_decided=found.open,
                sure=found.sure,
                stages=read_stages(connection, found=found),
                go_lives=list_go_lives(connection),
                proposals_in_all=found.of(connection, filters=filters).total,
                proposals=list_proposals(connection, filters=filters, limit=limit, offset=offset),
            )

    @routes.post(
        "/v1/adoption:propose",
        response_model=AdoptionAsked,
        status_code=202,
        responses=problems(400, 401, 403, 409),
    )
    def propose_again(change: Annotated[Change, Depends(changer)]) -> Response:
        """Propose links again, of what was read until now; a worker does it."""

        def work(connection: Connection[Row]) -> AdoptionAsked:
            must_see_all(connection, change.caller.entities)
            ask_again(connection, by=change.by.login, now=change.now)
            return AdoptionAsked(is_being_proposed=True)

        return change.once(body=None, work=work, status=202, database=worker)

    @routes.post(
        "/v1/adoption:decide",
        response_model=AdoptionDecided,
        responses=problems(400, 401, 403, 409),
    )
    def say(body: AdoptionDecisions, change: Annotated[Change, Depends(changer)]) -> Response:
        """Link records as they are proposed, and leave others without a link, all or none."""

        def work(connection: Connection[Row]) -> AdoptionDecided:
            must_see_all(connection, change.caller.entities)
            done = adopt(
                connection,
                decisions=decide(
                    connection,
                    links=[(Record(**each.record()), each.our_id) for each in body.links],
                    left=[Record(**each.record()) for each in body.leave],
                ),
                by=change.by.login,
                reason=body.reason,
                now=change.now,
                progress=lambda done, total: None,
            )
            return AdoptionDecided(
                linked=done.linked,
                left=done.left,
                refused=done.refused,
                looked_at_again=done.looked_at_again,
            )

        return change.once(body=body, work=work, database=worker)

    return routes
