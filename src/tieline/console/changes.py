"""What changed after it went into the ERP? Net money first, then hour by hour, and agreeing to corrections."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Form, Query
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.console.fields import FormReason, FormWord, QueryPage, QueryWord
from tieline.console.names import HOUR, read_names
from tieline.console.rendering import ROWS_PER_PAGE, Paging, Renderer, back_to
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.console.tie_out import read_entities
from tieline.console.words import CHANGE_KINDS, CHANGE_STATES
from tieline.console.workbook import Column, Kind, Sheet
from tieline.runtime.database import Row
from tieline.services.changes import (
    CHANGES_AT_ONCE_MAX,
    CHANGES_PAGE_MAX,
    OPEN,
    ChangeSum,
    PostedChange,
    agree_to_changes,
    list_changes,
    list_credits,
    net_of,
    preview_corrections,
    propose_credited,
    sum_changes,
)
from tieline.services.system import System

_DONE = ("corrected", "overtaken")
_ALL = "all"
ChangeIds = Annotated[list[UUID], Form(max_length=CHANGES_AT_ONCE_MAX)]
AskedIds = Annotated[list[UUID], Query(max_length=CHANGES_AT_ONCE_MAX)]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page, its file, the preview and what a controller does with it."""
    _add_reading(pages, door=door, renderer=renderer)
    _add_agreeing(pages, system=system, door=door, renderer=renderer)


def _add_reading(pages: FastAPI, *, door: Door, renderer: Renderer) -> None:
    @pages.get("/changes")
    def changes(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        period: QueryWord = "",
        state: QueryWord = OPEN,
        kind: QueryWord = "",
        page: QueryPage = 1,
    ) -> Response:
        filters = {"entity": entity, "period": period, "state": state, "kind": kind}
        with door.sight_of(visitor) as connection:
            found, total = list_changes(
                connection,
                **_wanted(filters),
                limit=ROWS_PER_PAGE,
                offset=(page - 1) * ROWS_PER_PAGE,
            )
            names = _names(connection, found)
            all_sums = sum_changes(connection)
            credits_ = list_credits(connection)
            entities = read_entities(connection)
        sums = [each for each in all_sums if _fits(each, filters)]
        return renderer.page(
            request,
            visitor,
            "changes.html",
            changes=found,
            names=names,
            sums=sums,
            nets=_nets(sums),
            credits=[each for each in credits_ if entity in ("", each.entity_code)],
            entities=entities,
            periods=sorted({s.period_code for s in all_sums if s.period_code}, reverse=True),
            paging=Paging(page=page, total=total, path="/changes", filters=filters),
            to_approve=sum(s.changes for s in all_sums if s.state == "to_approve"),
            is_filtered=any((entity, period, kind)) or state not in (OPEN, _ALL),
            may_agree=visitor.may(ROLES_THAT_APPROVE),
        )

    @pages.get("/changes.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        period: QueryWord = "",
        state: QueryWord = OPEN,
        kind: QueryWord = "",
    ) -> Response:
        filters = {"entity": entity, "period": period, "state": state, "kind": kind}
        rows: list[PostedChange] = []
        with door.sight_of(visitor) as connection:
            while True:
                found, total = list_changes(
                    connection, **_wanted(filters), limit=CHANGES_PAGE_MAX, offset=len(rows)
                )
                rows += found
                if not found or len(rows) >= total:
                    break
            names = _names(connection, rows)
            sums = [each for each in sum_changes(connection) if _fits(each, filters)]
        return renderer.file(
            visitor,
            name="changes",
            title="What changed after it went into the ERP",
            filters=filters,
            notes=("Amounts of different currencies are never added.",),
            sheets=(_sum_sheet(sums), _change_sheet(rows, names=names)),
        )


def _add_agreeing(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.get("/changes/preview")
    def preview(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        change: AskedIds,
    ) -> Response:
        with door.sight_of(visitor) as connection:
            corrections = preview_corrections(
                connection, change_ids=change, connectors=system.connectors
            )
            entities = read_entities(connection)
        return renderer.page(
            request,
            visitor,
            "changes_preview.html",
            corrections=corrections,
            nets=net_of(each.change for each in corrections),
            entities=entities,
            may_agree=visitor.may(ROLES_THAT_APPROVE),
        )

    @pages.post("/changes/agree")
    def agree(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        change: ChangeIds,
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "agree to corrections")
        with door.sight_of(visitor) as connection:
            done = agree_to_changes(
                connection,
                change_ids=change,
                reason=reason,
                by=visitor.login,
                connectors=system.connectors,
                now=renderer.now,
            )
        return back_to("/changes", done="proposed" if done.proposals else "approved")

    @pages.post("/changes/credited")
    def credited(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        change: ChangeIds,
        note: FormWord,
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "take hours off an invoice")
        with door.sight_of(visitor) as connection:
            propose_credited(
                connection,
                change_ids=change,
                credit_number=note,
                reason=reason,
                by=visitor.login,
                now=renderer.now,
            )
        return back_to("/changes", done="proposed")


def _wanted(filters: dict[str, str]) -> dict[str, Any]:
    return {
        "entity_code": filters["entity"] or None,
        "period_code": filters["period"] or None,
        "state": None if filters["state"] in ("", _ALL) else filters["state"],
        "kind": filters["kind"] or None,
    }


def _fits(each: ChangeSum, filters: dict[str, str]) -> bool:
    is_state = filters["state"] in ("", _ALL, each.state) or (
        filters["state"] == OPEN and each.state not in _DONE
    )
    return (
        is_state
        and filters["entity"] in ("", each.entity_code)
        and filters["period"] in ("", each.period_code)
    )


def _nets(sums: list[ChangeSum]) -> dict[tuple[str, str], Decimal]:
    """Return the net money by period and currency."""
    nets: dict[tuple[str, str], Decimal] = {}
    for each in sums:
        if each.currency and each.amount is not None:
            key = (each.period_code or "no period yet", each.currency)
            nets[key] = nets.get(key, Decimal(0)) + each.amount
    return nets


def _sum_sheet(sums: list[ChangeSum]) -> Sheet:
    return Sheet(
        name="Net",
        columns=(
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="State", width=24),
            Column(title="Changes", kind=Kind.COUNT),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Without a price", kind=Kind.COUNT),
        ),
        rows=[
            (
                each.entity_code,
                each.period_code,
                CHANGE_STATES.get(each.state, each.state),
                each.changes,
                each.seconds,
                each.amount,
                each.currency,
                each.unpriced,
            )
            for each in sums
        ],
    )


def _names(connection: Connection[Row], changes: Sequence[PostedChange]) -> Mapping[str, str]:
    """Return whose hours they are and of which day, by the id of the hour."""
    found = read_names(connection, things=((HOUR, str(each.entry_id)) for each in changes))
    return {key: name for (_, key), name in found.items()}


def _change_sheet(rows: list[PostedChange], *, names: Mapping[str, str]) -> Sheet:
    return Sheet(
        name="Changes",
        columns=(
            Column(title="Change", width=38),
            Column(title="Hour", width=24),
            Column(title="Whose", width=32),
            Column(title="What"),
            Column(title="State", width=24),
            Column(title="Changed at (UTC)", kind=Kind.INSTANT),
            Column(title="Approved by"),
            Column(title="Legal entity before"),
            Column(title="Period before"),
            Column(title="Project before"),
            Column(title="Work date before", kind=Kind.DAY),
            Column(title="Hours before", kind=Kind.HOURS),
            Column(title="Amount before", kind=Kind.AMOUNT),
            Column(title="Currency before"),
            Column(title="Legal entity now"),
            Column(title="Period now"),
            Column(title="Project now"),
            Column(title="Work date now", kind=Kind.DAY),
            Column(title="Hours now", kind=Kind.HOURS),
            Column(title="Amount now", kind=Kind.AMOUNT),
            Column(title="Currency now"),
            Column(title="Invoice"),
            Column(title="Booked into"),
            Column(title="Agreed by"),
        ),
        rows=[
            (
                str(each.change_id),
                f"{each.connection_key}:{each.source_ref}",
                names.get(str(each.entry_id)),
                CHANGE_KINDS.get(each.kind, each.kind),
                CHANGE_STATES.get(each.state, each.state),
                each.changed_at,
                each.approver_ref,
                each.entity_code,
                each.period_code,
                each.project_code,
                each.old_work_date,
                each.old_seconds,
                each.old_amount,
                each.old_currency,
                each.new_entity_code,
                each.new_period_code,
                each.new_project_code,
                each.new_work_date,
                each.new_seconds,
                each.new_amount,
                each.new_currency,
                each.invoice_number,
                each.booked_into,
                each.agreed_by,
            )
            for each in rows
        ],
    )
