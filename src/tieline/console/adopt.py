"""What do your systems already hold, and which of it is ours? Links proposed, confirmed or left in sets."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Form, UploadFile
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection
from pydantic import AfterValidator

from tieline.console.fields import FormReason, FormWord, QueryPage, QueryWord, plain
from tieline.console.rendering import ROWS_PER_PAGE, Paging, Renderer, back_to
from tieline.console.sessions import ROLES_THAT_ADOPT, Door, Visitor
from tieline.console.tie_out import read_entities
from tieline.console.whole_firm import WholeFirm
from tieline.console.workbook import Column, Sheet
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.services.adopting import (
    HEADER,
    SHEET,
    Adopted,
    Decisions,
    adopt,
    as_cells,
    decide,
    decide_sure,
    list_go_lives,
    propose_again,
    read_decisions,
    read_ours,
    read_stages,
    shown_sure,
)
from tieline.services.proposing_links import (
    Filters,
    Record,
    ask_again,
    list_proposals,
    read_look,
    tally,
)
from tieline.services.system import System
from tieline.services.xlsx_reading import read_sheet

UPLOAD_PATH = "/adopt/sheet"
_PICK_MAX = 600
_PICKED_MAX = 200
_REFUSED_SHOWN_MAX = 50
_CHECK = "check"
_WHAT = "say what is linked"
_Pick = Annotated[str, AfterValidator(plain)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk(WholeFirm):
    """Let in who sees the whole firm: a link belongs to no legal entity."""

    door: Door

    def do(
        self,
        visitor: Visitor,
        *,
        what: Callable[[Connection[Row]], Decisions],
        reason: str,
    ) -> Adopted:
        """Carry out what somebody decided, of the plan that stands now where they were shown one."""
        visitor.must(ROLES_THAT_ADOPT, _WHAT)
        with self.open(visitor) as connection:
            return adopt(
                connection,
                decisions=what(connection),
                by=visitor.login,
                reason=reason,
                now=self.renderer.now,
                progress=lambda done, total: None,
            )


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page, its file, deciding in sets, and taking a corrected file back."""
    desk = _Desk(system=system, door=door, renderer=renderer, what="Links")
    _add_reading(pages, desk=desk, door=door)
    _add_deciding(pages, desk=desk, door=door)
    _add_sheet(pages, desk=desk, door=door)


def _add_reading(pages: FastAPI, *, desk: _Desk, door: Door) -> None:
    @pages.get("/adopt")
    def proposals(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        system: QueryWord = "",
        what: QueryWord = "",
        sure: QueryWord = "",
        words: QueryWord = "",
        page: QueryPage = 1,
    ) -> Response:
        filters = {"system": system, "what": what, "sure": sure, "words": words}
        return _page(request, visitor, desk=desk, filters=filters, page=page)

    @pages.get("/adopt.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        system: QueryWord = "",
        what: QueryWord = "",
        sure: QueryWord = "",
        words: QueryWord = "",
    ) -> Response:
        filters = {"system": system, "what": what, "sure": sure, "words": words}
        with desk.open(visitor) as connection:
            look = read_look(connection)
            found = list_proposals(connection, filters=_of(filters))
        return desk.renderer.file(
            visitor,
            name="adopt",
            title="What connected systems hold and no link of ours is",
            filters=filters,
            notes=(
                "Write link or leave under Decision. Ours may name another: a project's code, CODE / TASK, an e-mail; of a task of the ERP, CODE / TASK / CATEGORY.",
                "Send it back on the page Adopt.",
                f"As proposed {look.known_at:%Y-%m-%d %H:%M:%S} UTC."
                if look.known_at
                else "Nothing was proposed yet.",
            ),
            sheets=[
                Sheet(
                    name=SHEET,
                    columns=[Column(title=title, width=24) for title in HEADER],
                    rows=as_cells(found),
                )
            ],
        )


def _add_deciding(pages: FastAPI, *, desk: _Desk, door: Door) -> None:
    @pages.post("/adopt/link")
    def link_picked(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
        pick: Annotated[list[_Pick], Form(max_length=_PICKED_MAX)] = [],  # noqa: B006 - read only
    ) -> Response:
        visitor.must(ROLES_THAT_ADOPT, _WHAT)
        picked = _picked(pick)
        links = [(record, our_id) for record, our_id in picked if our_id is not None]
        if len(links) < len(picked):
            raise UserMistake("nothing of ours is proposed for some of them: name it in the sheet")
        done = desk.do(
            visitor,
            what=lambda connection: decide(connection, links=links, left=()),
            reason=reason,
        )
        return back_to("/adopt", done="linked" if done.linked else "linked_before")

    @pages.post("/adopt/leave")
    def leave_picked(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
        pick: Annotated[list[_Pick], Form(max_length=_PICKED_MAX)] = [],  # noqa: B006 - read only
    ) -> Response:
        visitor.must(ROLES_THAT_ADOPT, _WHAT)
        left = [record for record, _ in _picked(pick)]
        desk.do(
            visitor,
            what=lambda connection: decide(connection, links=(), left=left),
            reason=reason,
        )
        return back_to("/adopt", done="left")

    @pages.post("/adopt/again")
    def take_up_again(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
        pick: Annotated[list[_Pick], Form(max_length=_PICKED_MAX)] = [],  # noqa: B006 - read only
    ) -> Response:
        visitor.must(ROLES_THAT_ADOPT, _WHAT)
        with desk.open(visitor) as connection:
            propose_again(
                connection,
                records=[record for record, _ in _picked(pick)],
                by=visitor.login,
                reason=reason,
                now=desk.renderer.now,
            )
        return back_to("/adopt", done="proposed_again")

    @pages.post("/adopt/sure")
    def link_sure(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
        shown: FormWord,
        system: FormWord = "",
        what: FormWord = "",
        words: FormWord = "",
    ) -> Response:
        filters = {"system": system, "what": what, "sure": "", "words": words}
        done = desk.do(
            visitor,
            what=lambda connection: decide_sure(connection, filters=_of(filters), shown=shown),
            reason=reason,
        )
        return back_to("/adopt", done="linked" if done.linked else "linked_before")

    @pages.post("/adopt/propose")
    def propose_anew(visitor: Annotated[Visitor, Depends(door.signed_visitor)]) -> Response:
        visitor.must(ROLES_THAT_ADOPT, _WHAT)
        with desk.open(visitor) as connection:
            ask_again(connection, by=visitor.login, now=desk.renderer.now)
        return back_to("/adopt", done="proposing")


def _add_sheet(pages: FastAPI, *, desk: _Desk, door: Door) -> None:
    @pages.post(UPLOAD_PATH)
    def take_back(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
        sheet: UploadFile | None = None,
        deed: FormWord = _CHECK,
    ) -> Response:
        visitor.must(ROLES_THAT_ADOPT, _WHAT)
        if sheet is None:
            raise UserMistake("choose the spreadsheet that you corrected")
        rows = read_sheet(sheet.file.read(), name=SHEET)
        with desk.open(visitor) as connection:
            ours = read_ours(connection)
        found = read_decisions(ours, rows=rows)
        told: dict[str, Any] = (
            {"checked": found}
            if deed == _CHECK
            else {"adopted": desk.do(visitor, what=lambda _: found, reason=reason)}
        )
        return _page(request, visitor, desk=desk, filters=_NO_FILTERS, page=1, **told)


_NO_FILTERS: Mapping[str, str] = {"system": "", "what": "", "sure": "", "words": ""}


def _page(
    request: Request,
    visitor: Visitor,
    *,
    desk: _Desk,
    filters: Mapping[str, str],
    page: int,
    checked: Decisions | None = None,
    adopted: Adopted | None = None,
) -> Response:
    with desk.open(visitor) as connection:
        look, every = read_look(connection), tally(connection)
        asked = _of(filters)
        found = every.of(connection, filters=asked)
        shown = list_proposals(
            connection, filters=asked, limit=ROWS_PER_PAGE, offset=(page - 1) * ROWS_PER_PAGE
        )
        sure_shown = shown_sure(connection, found=found)
        stages = read_stages(connection, found=every)
        go_lives = list_go_lives(connection)
    with desk.door.sight_of(visitor) as connection:
        entities = read_entities(connection)
    return desk.renderer.page(
        request,
        visitor,
        "adopt.html",
        look=look,
        every=every,
        found=found,
        sure_shown=sure_shown,
        shown=[(each, _pick(each, each.our_id)) for each in shown],
        stages=stages,
        go_lives=go_lives,
        entities=entities,
        systems=sorted({each.connection_key for each in stages}),
        paging=Paging(page=page, total=found.total, path="/adopt", filters=filters),
        may_adopt=visitor.may(ROLES_THAT_ADOPT),
        checked=checked,
        adopted=adopted,
        refused_shown_max=_REFUSED_SHOWN_MAX,
    )


def _of(filters: Mapping[str, str]) -> Filters:
    return Filters(
        connection_key=filters["system"],
        noun=filters["what"],
        state=filters["sure"],
        words=filters["words"],
    )


def _pick(record: Record, our_id: UUID | None) -> str:
    return json.dumps(
        [record.connection_key, record.noun, record.source_ref, str(our_id) if our_id else ""]
    )


def _picked(picks: Sequence[str]) -> list[tuple[Record, UUID | None]]:
    if not picks:
        raise UserMistake("tick at least one of them")
    found = []
    for text in picks:
        try:
            key, noun, ref, our_id = json.loads(text[:_PICK_MAX])
            record = Record(connection_key=str(key), noun=str(noun), source_ref=str(ref))
            found.append((record, UUID(our_id) if our_id else None))
        except (ValueError, TypeError, AttributeError) as error:
            raise UserMistake("what was ticked cannot be read: load the page again") from error
    return found
