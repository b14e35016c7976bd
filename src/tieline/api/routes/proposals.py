"""What one person asked for and another decides."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from psycopg import Connection
from pydantic import BaseModel

from tieline.api.answers import ProposalDecided, Proposals, ReleaseDecided
from tieline.api.bodies import Because
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.governance import ApiCaller, Proposal, list_proposals, reject
from tieline.runtime.database import Row
from tieline.services.deciding import (
    approve_and_carry_out,
    approve_draft_release,
    database_of,
    list_draft_releases,
    reject_draft_release,
)


class ProposalMade(BaseModel):
    """A proposal that waits for a second person."""

    proposal_id: UUID
    state: str


def made(proposal: Proposal) -> ProposalMade:
    """Return the answer to a call that proposed something."""
    return ProposalMade(proposal_id=proposal.proposal_id, state=proposal.state)


def proposal_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and decided about proposals."""
    routes = APIRouter(tags=["proposals"])
    reader = doors.may("cases:write")
    changer = doors.may_change("close:write")
    worker = doors.system.database

    @routes.get("/v1/proposals", responses=problems(401, 403))
    def proposals(caller: Annotated[ApiCaller, Depends(reader)]) -> Proposals:
        """List what waits for a second person, and the releases of rules that do."""
        with doors.sight(caller) as connection:
            return Proposals(
                proposals=list_proposals(connection), releases=list_draft_releases(connection)
            )

    @routes.post(
        "/v1/proposals/{proposal_id}:approve",
        response_model=ProposalDecided,
        responses=problems(400, 401, 403, 404, 409),
    )
    def approve(
        proposal_id: UUID, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Agree as the second person, and have it carried out."""

        def work(connection: Connection[Row]) -> ProposalDecided:
            done = approve_and_carry_out(
                connection,
                proposal_id=proposal_id,
                reason=body.reason,
                by=change.by,
                connectors=doors.system.connectors,
                now=change.now,
            )
            return ProposalDecided(
                proposal_id=proposal_id, state=done.proposal.state, things=done.things
            )

        with unknown_is_404("proposal"):
            database = database_of(
                doors.system, proposal_id=proposal_id, entities=change.caller.entities
            )
            return change.once(body=body, work=work, database=database)

    @routes.post(
        "/v1/proposals/{proposal_id}:reject",
        response_model=ProposalDecided,
        responses=problems(400, 401, 403, 404, 409),
    )
    def turn_down(
        proposal_id: UUID, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Turn a proposal down, or take one's own back."""

        def work(connection: Connection[Row]) -> ProposalDecided:
            done = reject(
                connection,
                proposal_id=proposal_id,
                by=change.by.login,
                reason=body.reason,
                now=change.now,
                through=change.by.through,
            )
            return ProposalDecided(proposal_id=proposal_id, state=done.state, things=0)

        with unknown_is_404("proposal"):
            return change.once(body=body, work=work)

    @routes.post(
        "/v1/releases/{release_id}:approve",
        response_model=ReleaseDecided,
        responses=problems(400, 401, 403, 404, 409),
    )
    def approve_release(release_id: int, change: Annotated[Change, Depends(changer)]) -> Response:
        """Let a release of rules decide; only for a caller who acts for every legal entity."""

        def work(connection: Connection[Row]) -> ReleaseDecided:
            approve_draft_release(
                connection,
                release_id=release_id,
                by=change.by,
                entities=change.caller.entities,
                now=change.now,
            )
            return ReleaseDecided(release_id=release_id, state="current")

        # Approving re-judges every hour that has no intent, which only the worker may ask for.
        with unknown_is_404("release"):
            return change.once(body=None, work=work, database=worker)

    @routes.post(
        "/v1/releases/{release_id}:reject",
        response_model=ReleaseDecided,
        responses=problems(400, 401, 403, 404, 409),
    )
    def reject_release(
        release_id: int, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Turn a draft release down, or take one's own back."""

        def work(connection: Connection[Row]) -> ReleaseDecided:
            reject_draft_release(
                connection,
                release_id=release_id,
                reason=body.reason,
                by=change.by,
                entities=change.caller.entities,
                now=change.now,
            )
            return ReleaseDecided(release_id=release_id, state="rejected")

        with unknown_is_404("release"):
            return change.once(body=body, work=work, database=worker)

    return routes
