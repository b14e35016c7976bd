"""What waits for a second person? Proposals and drafts of rules, and the two answers to each."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.casework import CaseSummary, get_case
from tieline.console.fields import FormText, FormWord
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer, back_to
from tieline.console.sessions import (
    ROLES_THAT_APPROVE,
    Door,
    Visitor,
    safe_address,
)
from tieline.console.tie_out import read_entities
from tieline.console.words import PROPOSAL_STATES, PROPOSALS, spoken
from tieline.console.workbook import Column, Kind, Sheet, all_pages
from tieline.governance import (
    PROPOSALS_PAGE_MAX,
    Proposal,
    get_proposal,
    list_proposals,
    open_web_transaction,
    reject,
)
from tieline.services.deciding import (
    ROLES_THAT_WORK,
    Decider,
    DraftRelease,
    approve_and_carry_out,
    approve_draft_release,
    database_of,
    list_draft_releases,
    reject_draft_release,
)
from tieline.services.same_client import KnownClient, find_client
from tieline.services.system import System

_SHOWN_MAX = 100
_RELEASE_MAX = 2**31 - 1

Row = dict[str, Any]
State = Literal["proposed", "approved", "rejected"]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the list, agreeing and turning down."""
    _add_proposals(pages, system=system, door=door, renderer=renderer)
    _add_rules(pages, system=system, door=door, renderer=renderer)


def _add_proposals(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.get("/approvals")
    def approvals(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        state: State = "proposed",
    ) -> Response:
        with door.sight_of(visitor) as connection:
            proposals = list_proposals(connection, state=state, limit=_SHOWN_MAX)
            drafts = list_draft_releases(connection)
            waiting = len(list_proposals(connection, limit=_SHOWN_MAX)) + len(drafts)
            found: dict[str, Any] = {
                "entities": read_entities(connection),
                "cases": {each.proposal_id: _case_of(connection, each) for each in proposals},
                "clients": {each.proposal_id: _client_of(connection, each) for each in proposals},
            }
        return renderer.page(
            request,
            visitor,
            "approvals.html",
            proposals=proposals,
            drafts=drafts if state == "proposed" else (),
            waiting=waiting,
            state=state,
            may_approve=visitor.may(ROLES_THAT_APPROVE),
            shown_max=_SHOWN_MAX,
            **found,
        )

    @pages.get("/approvals.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)], state: State = "proposed"
    ) -> Response:
        with door.sight_of(visitor) as connection:
            proposals = all_pages(
                lambda offset: list_proposals(
                    connection, state=state, limit=PROPOSALS_PAGE_MAX, offset=offset
                ),
                size=PROPOSALS_PAGE_MAX,
            )
            drafts = list_draft_releases(connection) if state == "proposed" else ()
        return renderer.file(
            visitor,
            name="approvals",
            title="What waits for a second person, and what was decided",
            filters={"state": PROPOSAL_STATES[state]},
            sheets=(_proposal_sheet(proposals), _draft_sheet(drafts)),
        )

    @pages.post("/approvals/{proposal_id}/approve")
    def agree(
        proposal_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormText = "",
        back: FormWord = "/approvals",
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "approve")
        with door.sight_of(visitor) as connection:
            _get(connection, proposal_id)
        database = database_of(system, proposal_id=proposal_id, entities=visitor.entities)
        with open_web_transaction(database, entities=visitor.entities) as connection:
            approve_and_carry_out(
                connection,
                proposal_id=proposal_id,
                reason=reason,
                by=Decider(login=visitor.login),
                connectors=system.connectors,
                now=renderer.now,
            )
        return back_to(safe_address(back), done="approved")

    @pages.post("/approvals/{proposal_id}/reject")
    def turn_down(
        proposal_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormText = "",
        back: FormWord = "/approvals",
    ) -> Response:
        with door.sight_of(visitor) as connection:
            proposal = _get(connection, proposal_id)
            is_own = proposal.proposed_by.casefold() == visitor.login.casefold()
            visitor.must(ROLES_THAT_WORK if is_own else ROLES_THAT_APPROVE, "turn it down")
            reject(
                connection,
                proposal_id=proposal_id,
                by=visitor.login,
                reason=reason or ("taken back" if is_own else "turned down"),
                now=renderer.now,
            )
        return back_to(safe_address(back), done="turned_down")


def _add_rules(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    # New rules check every waiting hour again, which only the worker may ask for.
    @pages.post("/approvals/rules/{release_id}/approve")
    def agree_to_rules(
        release_id: int, visitor: Annotated[Visitor, Depends(door.signed_visitor)]
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "approve rules")
        with system.database.transaction() as connection:
            try:
                approve_draft_release(
                    connection,
                    release_id=_checked(release_id),
                    by=Decider(login=visitor.login),
                    entities=visitor.entities,
                    now=renderer.now,
                )
            except LookupError as error:
                raise not_found("Rules hold for every legal entity; you see some.") from error
        return back_to("/approvals", done="approved")

    @pages.post("/approvals/rules/{release_id}/reject")
    def turn_rules_down(
        release_id: int,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormText = "",
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "turn rules down")
        with system.database.transaction() as connection:
            try:
                reject_draft_release(
                    connection,
                    release_id=_checked(release_id),
                    reason=reason,
                    by=Decider(login=visitor.login),
                    entities=visitor.entities,
                    now=renderer.now,
                )
            except LookupError as error:
                raise not_found("Rules hold for every legal entity; you see some.") from error
        return back_to("/approvals", done="turned_down")


def _proposal_sheet(proposals: Sequence[Proposal]) -> Sheet:
    return Sheet(
        name="Proposals",
        columns=(
            Column(title="What", width=36),
            Column(title="Of", width=44),
            Column(title="Legal entity"),
            Column(title="Why", width=44),
            Column(title="Proposed by"),
            Column(title="Proposed at (UTC)", kind=Kind.INSTANT),
            Column(title="State"),
            Column(title="Decided by"),
            Column(title="Decided at (UTC)", kind=Kind.INSTANT),
            Column(title="Why it was decided so", width=44),
        ),
        rows=[
            (
                spoken(each.kind, PROPOSALS),
                each.object,
                each.entity_code,
                each.reason,
                each.proposed_by,
                each.proposed_at,
                spoken(each.state, PROPOSAL_STATES),
                each.decided_by,
                each.decided_at,
                each.decision_reason,
            )
            for each in proposals
        ],
    )


def _draft_sheet(drafts: Sequence[DraftRelease]) -> Sheet:
    return Sheet(
        name="Drafts of rules",
        columns=(
            Column(title="Number", kind=Kind.COUNT),
            Column(title="Rules", width=36),
            Column(title="How many", kind=Kind.COUNT),
            Column(title="Why", width=44),
            Column(title="Proposed by"),
            Column(title="Proposed at (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                each.release_id,
                each.title,
                each.rules,
                each.reason,
                each.proposed_by,
                each.proposed_at,
            )
            for each in drafts
        ],
    )


def _checked(release_id: int) -> int:
    if not 0 < release_id <= _RELEASE_MAX:
        raise not_found("No rules have this number.")
    return release_id


def _get(connection: Connection[Row], proposal_id: UUID) -> Proposal:
    try:
        return get_proposal(connection, proposal_id=proposal_id)
    except LookupError as error:
        raise not_found("No such proposal is in your sight.") from error


def _case_of(connection: Connection[Row], proposal: Proposal) -> CaseSummary | None:
    case_id = proposal.payload.get("case_id")
    return get_case(connection, case_id=UUID(case_id)).case if case_id else None


def _client_of(connection: Connection[Row], proposal: Proposal) -> KnownClient | None:
    client_id = proposal.payload.get("client_id")
    return find_client(connection, client_id=UUID(client_id)) if client_id else None
