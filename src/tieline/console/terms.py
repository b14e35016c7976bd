"""What would a proposed file of terms change? Its rows, and the deals that would be read otherwise."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response

from tieline.console.problems import not_found
from tieline.console.rendering import Renderer
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.governance import get_proposal
from tieline.services.reference_files import LOAD, deals_of_file, preview_file, proposed_file
from tieline.services.system import System


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page of one proposed file."""

    @pages.get("/approvals/{proposal_id}/file")
    def proposed(
        request: Request, visitor: Annotated[Visitor, Depends(door.visitor)], proposal_id: UUID
    ) -> Response:
        with door.sight_of(visitor) as connection:
            try:
                proposal = get_proposal(connection, proposal_id=proposal_id)
            except LookupError as error:
                raise not_found("No such proposal is in your sight.") from error
        if proposal.kind != LOAD:
            raise not_found("This proposal is no file.")
        file = proposed_file(proposal)
        # Terms hold for the whole firm, and only the worker may try what they would change.
        with system.database.transaction() as connection:
            preview = preview_file(connection, file=file)
            impact = deals_of_file(connection, file=file, now=renderer.now)
        return renderer.page(
            request,
            visitor,
            "terms.html",
            proposal=proposal,
            preview=preview,
            impact=impact,
            may_approve=visitor.may(ROLES_THAT_APPROVE),
        )
