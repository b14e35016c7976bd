"""What do our systems tell differently, and whose word counts? Writing what the owner says, shown before."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response

from tieline.console import words
from tieline.console.fields import FormDigest, FormReason, FormWord, QueryPage, QueryWord
from tieline.console.rendering import ROWS_PER_PAGE, Paging, Renderer, back_to
from tieline.console.sessions import Door, Visitor
from tieline.console.whole_firm import WholeFirm
from tieline.console.workbook import Cell, Column, Kind, Sheet
from tieline.services.aligning import ROLES_THAT_ALIGN, apply_alignment, show_alignment
from tieline.services.drifting import SET, Difference, list_differences
from tieline.services.links import read_links
from tieline.services.shown_plans import Chosen
from tieline.services.system import System


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the list and its file, what aligning a field would write, and having it written."""
    firm = WholeFirm(system=system, renderer=renderer, what="Clients and who owns their fields")
    _add_list(pages, firm=firm, door=door)
    _add_aligning(pages, firm=firm, door=door)


def _add_list(pages: FastAPI, *, firm: WholeFirm, door: Door) -> None:
    @pages.get("/drift")
    def drift(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        field: QueryWord = "",
        system: QueryWord = "",
        action: QueryWord = "",
        page: QueryPage = 1,
    ) -> Response:
        with firm.open(visitor) as connection:
            whole = list_differences(
                connection, connectors=firm.system.connectors, now=firm.renderer.now
            )
            links = read_links(connection, systems=firm.system.systems)
        found = _of(whole, field=field, system=system, action=action)
        shown = found[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
        return firm.renderer.page(
            request,
            visitor,
            "drift.html",
            total=len(whole),
            differences=[
                (
                    each,
                    links.record(
                        connection_key=each.system_key,
                        object=each.system_object,
                        source_ref=each.system_ref,
                    ),
                )
                for each in shown
            ],
            fields=sorted({_field(each) for each in whole}),
            systems=sorted({each.system_key for each in whole}),
            settable=sorted(Counter(_field(each) for each in whole if each.action == SET).items()),
            may_align=visitor.may(ROLES_THAT_ALIGN),
            paging=Paging(
                page=page,
                total=len(found),
                path="/drift",
                filters={"field": field, "system": system, "action": action},
            ),
        )

    @pages.get("/drift.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        field: QueryWord = "",
        system: QueryWord = "",
        action: QueryWord = "",
    ) -> Response:
        with firm.open(visitor) as connection:
            whole = list_differences(
                connection, connectors=firm.system.connectors, now=firm.renderer.now
            )
        return firm.renderer.file(
            visitor,
            name="differences",
            title="What systems tell differently",
            filters={"field": field, "system": system, "action": action},
            notes=("What counts is what the owner of the field says.",),
            sheets=(_sheet(_of(whole, field=field, system=system, action=action)),),
        )


def _add_aligning(pages: FastAPI, *, firm: WholeFirm, door: Door) -> None:
    @pages.get("/drift/plan")
    def plan(
        request: Request, visitor: Annotated[Visitor, Depends(door.visitor)], field: QueryWord
    ) -> Response:
        with firm.open(visitor) as connection:
            drawn, shown = show_alignment(
                connection,
                field=field,
                connectors=firm.system.connectors,
                to=visitor.login,
                now=firm.renderer.now,
            )
        return firm.renderer.page(
            request,
            visitor,
            "drift_plan.html",
            plan=drawn,
            digest=shown.digest,
            may_align=visitor.may(ROLES_THAT_ALIGN),
        )

    @pages.post("/drift/apply")
    def apply(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        field: FormWord,
        digest: FormDigest,
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_ALIGN, "write into systems what the owner says")
        with firm.open(visitor) as connection:
            apply_alignment(
                connection,
                field=field,
                chosen=Chosen(digest=digest),
                connectors=firm.system.connectors,
                by=visitor.login,
                reason=reason,
                now=firm.renderer.now,
            )
        return back_to("/drift", done="aligned")


def _field(each: Difference) -> str:
    return f"{each.noun}.{each.field}"


def _of(
    whole: Sequence[Difference], *, field: str, system: str, action: str
) -> Sequence[Difference]:
    return [
        each
        for each in whole
        if field in ("", _field(each))
        and system in ("", each.system_key)
        and action in ("", each.action)
    ]


def _sheet(found: Sequence[Difference]) -> Sheet:
    def rows() -> Iterator[Sequence[Cell]]:
        for each in found:
            yield (
                each.noun,
                each.owner_ref or str(each.our_id),
                each.field,
                each.owner_key or each.owner_kind,
                each.owner_value,
                each.system_key,
                each.system_ref,
                each.value,
                each.since,
                words.DRIFT_ACTIONS[each.action],
                each.fix,
            )

    return Sheet(
        name="Differences",
        columns=(
            Column(title="What"),
            Column(title="Which", width=24),
            Column(title="Field"),
            Column(title="Owner"),
            Column(title="Owner says", width=32),
            Column(title="System"),
            Column(title="Record"),
            Column(title="Says", width=32),
            Column(title="Since (UTC)", kind=Kind.INSTANT, width=18),
            Column(title="How"),
            Column(title="What to do", width=60),
        ),
        rows=rows(),
    )
