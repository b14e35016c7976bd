"""May this period be closed? What still moves in it, and proposing to close or reopen it."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.console.fields import FormReason, FormText, FormWord
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer, back_to, waiting_proposals
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.console.tie_out import Row, read_entities
from tieline.console.words import MOVING
from tieline.console.workbook import Column, Kind, Sheet
from tieline.governance import list_audit
from tieline.kernel.errors import UserMistake
from tieline.services.accruals import Accruals, read_accruals
from tieline.services.period_close import (
    UNCONFIRMED,
    Period,
    get_period,
    list_reopened,
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
            accruals = read_accruals(connection, period_id=period_id)
            reopened = [e for e in list_reopened(connection) if e.period_id == period_id]
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
            accruals=accruals,
            reopened=reopened,
            may_propose=visitor.may(ROLES_THAT_APPROVE),
            may_approve=visitor.may(ROLES_THAT_APPROVE),
        )

    @pages.get("/close/periods/{period_id}/accruals.xlsx")
    def accruals_file(
        visitor: Annotated[Visitor, Depends(door.visitor)], period_id: UUID
    ) -> Response:
        with door.sight_of(visitor) as connection:
            period = _get(connection, period_id)
            found = read_accruals(connection, period_id=period_id)
        return renderer.file(
            visitor,
            name=f"accruals-{period.entity_code}-{period.period_code}",
            title=f"Accruals of {period.period_code} of {period.entity_code}",
            filters={},
            notes=(
                "Approved hours that are not in the ERP: book on the last day, reverse on the next.",
                "Hours without a price are listed and have no amount.",
            ),
            sheets=(_accrual_sheet(found),),
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
        until: FormWord = "",
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "propose to reopen periods")
        with door.sight_of(visitor) as connection:
            _get(connection, period_id)
            propose_reopen(
                connection,
                period_id=period_id,
                reason=reason,
                until_on=_day(until),
                by=visitor.login,
                now=renderer.now,
            )
        return back_to(f"/close/periods/{period_id}", done="proposed")


def _day(word: str) -> date | None:
    if not word:
        return None
    try:
        return date.fromisoformat(word)
    except ValueError as error:
        raise UserMistake(f"{word} is no day such as 2026-11-30") from error


def _accrual_sheet(found: Accruals) -> Sheet:
    return Sheet(
        name="Accruals",
        columns=(
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="Project"),
            Column(title="Contract"),
            Column(title="Labor category"),
            Column(title="Where the hours are", width=22),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="In the ERP already", kind=Kind.HOURS),
            Column(title="Book on", kind=Kind.DAY),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Hours without a price", kind=Kind.HOURS),
            Column(title="Reverse on", kind=Kind.DAY),
            Column(title="Reversal", kind=Kind.AMOUNT),
        ),
        rows=[
            (
                line.entity_code,
                line.period_code,
                line.project_code,
                line.contract_code,
                line.labor_category,
                MOVING.get(line.place, line.place),
                line.approved_seconds,
                line.standing_seconds,
                line.books_on,
                line.amount,
                line.currency,
                line.unpriced_seconds,
                line.reverses_on,
                line.reversal_amount,
            )
            for line in found.lines
        ],
    )


def _get(connection: Connection[Row], period_id: UUID) -> Period:
    try:
        return get_period(connection, period_id=period_id)
    except LookupError as error:
        raise not_found("No such period is in your sight.") from error
