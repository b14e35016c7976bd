"""May this period be closed? What still moves in it, and proposing to close or reopen it."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.console.fields import FormReason, FormText
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer, back_to, waiting_proposals
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.console.tie_out import Row, read_entities
from tieline.governance import list_audit
from tieline.services.period_close import (
    UNCONFIRMED,
    Period,
    get_period,
    look_in_flight,
    propose_close,
    propose_reopen,
)

_AUDIT_SHOWN_MAX = 20


def add_routes(pages: FastAPI, *, door: Door, renderer: Renderer) -> None:
    """Add a period's page, and proposing to close it or open it again."""

    @pages.get("/close/periods/{period_id}")
    def one_period(
        request: Request, visitor: Annotated[Visitor, Depends(door.visitor)], period_id: UUID
    ) -> Response:
        with door.sight_of(visitor) as connection:
            period = _get(connection, period_id)
            in_flight = look_in_flight(connection, period_id=period_id)
            entities = read_entities(connection)
            proposals = waiting_proposals(connection, object=f"period:{period_id}")
            audit = list_audit(connection, object=f"period:{period_id}", limit=_AUDIT_SHOWN_MAX)
        return renderer.page(
            request,
            visitor,
            "period.html",
            period=period,
            in_flight=in_flight,
            is_unconfirmed=any(each.what == UNCONFIRMED for each in in_flight),
            entities=entities,
            proposals=proposals,
            audit=audit,
            may_propose=visitor.may(ROLES_THAT_APPROVE),
            may_approve=visitor.may(ROLES_THAT_APPROVE),
        )

    @pages.post("/close/periods/{period_id}/close")
    def ask_to_close(
        period_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormText = "",
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "propose to close periods")
        with door.sight_of(visitor) as connection:
            _get(connection, period_id)
            propose_close(
                connection, period_id=period_id, reason=reason, by=visitor.login, now=renderer.now
            )
        return back_to(f"/close/periods/{period_id}", done="proposed")

    @pages.post("/close/periods/{period_id}/reopen")
    def ask_to_reopen(
        period_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "propose to reopen periods")
        with door.sight_of(visitor) as connection:
            _get(connection, period_id)
            propose_reopen(
                connection, period_id=period_id, reason=reason, by=visitor.login, now=renderer.now
            )
        return back_to(f"/close/periods/{period_id}", done="proposed")


def _get(connection: Connection[Row], period_id: UUID) -> Period:
    try:
        return get_period(connection, period_id=period_id)
    except LookupError as error:
        raise not_found("No such period is in your sight.") from error
