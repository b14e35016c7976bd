"""What would have been decided otherwise: asked, followed, read and stopped."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from psycopg import Connection

from tieline.api.answers import WhatIfAnswered, WhatIfAsked, WhatIfs
from tieline.api.bodies import WhatIfQuestion
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.services.reference_files import read_draft_file
from tieline.services.what_if import Question
from tieline.services.what_if_runs import ask, get_answer, list_asked, stop


def what_if_routes(doors: Doors) -> APIRouter:
    """Return what can be asked about past days under a draft."""
    routes = APIRouter(tags=["what-if"])
    reader = doors.may("cases:write")
    changer = doors.may_change("cases:write")
    worker = doors.system.database

    @routes.get("/v1/what-ifs", responses=problems(401, 403, 409))
    def list_all(caller: Annotated[ApiCaller, Depends(reader)]) -> WhatIfs:
        """List what was asked, the newest first."""
        with worker.transaction() as connection:
            return WhatIfs(what_ifs=list_asked(connection, entities=caller.entities))

    @routes.get("/v1/what-ifs/{what_if_id}", responses=problems(401, 403, 404))
    def read(what_if_id: UUID, caller: Annotated[ApiCaller, Depends(reader)]) -> WhatIfAnswered:
        """Return a question, how far it is, and its answer once there is one."""
        with unknown_is_404("what_if"), worker.transaction() as connection:
            found = get_answer(connection, what_if_id=what_if_id, entities=caller.entities)
        return WhatIfAnswered(asked=found.asked, answer=found.found)

    @routes.post(
        "/v1/what-ifs",
        response_model=WhatIfAsked,
        status_code=202,
        responses=problems(400, 401, 403, 409),
    )
    def ask_one(body: WhatIfQuestion, change: Annotated[Change, Depends(changer)]) -> Response:
        """Ask what a draft would do to past days; a worker answers, and nothing else is written."""

        def work(connection: Connection[Row]) -> WhatIfAsked:
            what_if_id = ask(
                connection,
                question=Question(
                    starts_on=body.starts_on,
                    ends_on=body.ends_on,
                    new_release_id=body.release_id,
                    old_release_id=body.against_release_id,
                    proposal_ids=tuple(body.proposal_ids),
                    files=tuple(
                        read_draft_file(
                            noun=each.noun,
                            name=each.name,
                            body=each.text.encode(),
                            is_whole=each.is_whole,
                        )
                        for each in body.files
                    ),
                ),
                title=body.title,
                by=change.by.login,
                entities=change.caller.entities,
                now=change.now,
            )
            return WhatIfAsked(what_if_id=what_if_id, state="waiting")

        return change.once(body=body, work=work, status=202, database=worker)

    @routes.post(
        "/v1/what-ifs/{what_if_id}:stop",
        response_model=WhatIfAsked,
        responses=problems(400, 401, 403, 404),
    )
    def stop_one(what_if_id: UUID, change: Annotated[Change, Depends(changer)]) -> Response:
        """Want no answer any more."""

        def work(connection: Connection[Row]) -> WhatIfAsked:
            stop(
                connection,
                what_if_id=what_if_id,
                entities=change.caller.entities,
                now=change.now,
            )
            return WhatIfAsked(what_if_id=what_if_id, state="stopped")

        with unknown_is_404("what_if"):
            return change.once(body=None, work=work, database=worker)

    return routes
