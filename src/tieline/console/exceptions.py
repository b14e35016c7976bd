"""What needs a person, and what is it worth? Cases by money x deadline, and what one does with them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, TypedDict
from uuid import UUID

from fastapi import Depends, FastAPI, Form, Query
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.casework import (
    CASES_PAGE_MAX,
    CaseDetail,
    CaseSummary,
    Cause,
    count_open,
    get_case,
    list_cases,
    list_causes,
    value_at_risk,
)
from tieline.console.cases_file import case_sheet, member_sheet
from tieline.console.fields import FormDigest, FormReason, FormWord, QueryPage, QueryWord
from tieline.console.names import HOUR, Thing, read_names
from tieline.console.problems import not_found
from tieline.console.rendering import (
    ROWS_PER_PAGE,
    Paging,
    Renderer,
    back_to,
    waiting_proposals,
)
from tieline.console.sessions import (
    ROLES_THAT_APPROVE,
    Door,
    Visitor,
)
from tieline.console.tie_out import read_entities
from tieline.console.totals import NEVER_ADDED, totals_sheets
from tieline.console.words import reason as reason_words
from tieline.console.workbook import all_pages
from tieline.governance import list_audit, list_people
from tieline.kernel.errors import UserMistake
from tieline.services.client_pairs import PAIR_REASONS
from tieline.services.deciding import (
    ROLES_THAT_MATCH,
    ROLES_THAT_WORK,
    Decider,
    assign_case,
    dismiss_case,
    propose_leave_out,
    replay_case,
)
from tieline.services.links import Links, read_links
from tieline.services.reporting_currency import tell_together
from tieline.services.same_client import (
    DECIDED_REASONS,
    Question,
    propose_same_client,
    read_question,
)
from tieline.services.sending_again import (
    CASES_AGAIN_MAX,
    Again,
    find_again,
    preview_again,
    send_again,
)
from tieline.services.system import System
from tieline.services.unconfirmed import list_unconfirmed

_CAUSES_SHOWN_MAX = 8
_MEMBERS_SHOWN_MAX = 100
_AUDIT_SHOWN_MAX = 20
_NOBODY = "-"
# Which exceptions are meant: those that were picked on the page, or all that its filters leave.
_PICKED = "picked"
_NEW_CLIENT = "new"
# What a case is about, in the words under which its system shows records.
_OBJECTS = {
    "project": "projects",
    "person": "users",
    "person_week": "users",
    "entry": "time_entries",
    "deal": "deals",
    "client": "companies",
}

Row = dict[str, Any]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the list, the single case and what a person may do with it."""
    # The address of several is asked before that of one: "again" is no case.
    _add_again(pages, system=system, door=door, renderer=renderer)
    _add_reading(pages, system=system, door=door, renderer=renderer)
    _add_preview(pages, system=system, door=door, renderer=renderer)
    _add_doing(pages, door=door, renderer=renderer)


def _add_reading(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.get("/exceptions")
    def exceptions(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        reason: QueryWord = "",
        queue: QueryWord = "",
        owner: QueryWord = "",
        page: QueryPage = 1,
    ) -> Response:
        wanted = _wanted(entity=entity, reason=reason, queue=queue, owner=owner)
        with door.sight_of(visitor) as connection:
            paging = Paging(
                page=page,
                total=count_open(connection, **wanted),
                path="/exceptions",
                filters={"entity": entity, "reason": reason, "queue": queue, "owner": owner},
            )
            cases = list_cases(
                connection, **wanted, now=renderer.now, limit=ROWS_PER_PAGE, offset=paging.offset
            )
            causes = list_causes(connection)
            amounts, unpriced_seconds = value_at_risk(connection)
            found: dict[str, Any] = {
                "together": tell_together(
                    connection,
                    amounts,
                    currency=system.settings.reporting_currency,
                    now=renderer.now,
                ),
                "open_cases": count_open(connection),
                "unconfirmed": list_unconfirmed(
                    connection, now=renderer.now, entity_code=entity or None
                ),
                "entities": read_entities(connection),
                "owners": _owners(connection, visitor),
                "names": _names(connection, cases),
            }
        return renderer.page(
            request,
            visitor,
            "exceptions.html",
            cases=cases,
            paging=paging,
            causes=causes,
            queues=sorted({cause.owner_queue for cause in causes}),
            amounts=amounts,
            unpriced_seconds=unpriced_seconds,
            chart=_chart(causes),
            nobody=_NOBODY,
            is_filtered=any(paging.filters.values()),
            may_work=visitor.may(ROLES_THAT_WORK),
            **found,
        )

    @pages.get("/exceptions.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        reason: QueryWord = "",
        queue: QueryWord = "",
        owner: QueryWord = "",
    ) -> Response:
        with door.sight_of(visitor) as connection:
            wanted = _wanted(entity=entity, reason=reason, queue=queue, owner=owner)
            cases = all_pages(
                lambda offset: list_cases(
                    connection, **wanted, now=renderer.now, limit=CASES_PAGE_MAX, offset=offset
                ),
                size=CASES_PAGE_MAX,
            )
            names = _names(connection, cases)
            amounts, _ = value_at_risk(connection)
            together = tell_together(
                connection, amounts, currency=system.settings.reporting_currency, now=renderer.now
            )
        return renderer.file(
            visitor,
            name="exceptions",
            title="What needs a person, and what it is worth",
            filters={"entity": entity, "reason": reason, "queue": queue, "owner": owner},
            notes=(
                "Most money and nearest deadline first; a row per exception and currency.",
                NEVER_ADDED,
            ),
            sheets=(
                case_sheet(cases, names=names),
                *totals_sheets({"At risk in all exceptions, an hour counted once": together}),
            ),
        )

    @pages.get("/exceptions/{case_id}")
    def one_case(
        request: Request, visitor: Annotated[Visitor, Depends(door.visitor)], case_id: UUID
    ) -> Response:
        with door.sight_of(visitor) as connection:
            detail = _get(connection, case_id)
            found: dict[str, Any] = {
                "detail": detail,
                "unconfirmed": list_unconfirmed(connection, now=renderer.now, case_id=case_id),
                "entities": read_entities(connection),
                "owners": _owners(connection, visitor, entity_code=detail.case.entity_code),
                "proposals": waiting_proposals(connection, object=f"case:{case_id}"),
                "audit": list_audit(connection, object=f"case:{case_id}", limit=_AUDIT_SHOWN_MAX),
                "link": _link_of(detail, read_links(connection, systems=system.systems)),
                "question": _question_of(connection, detail),
                "names": _names(connection, (detail.case,)),
                "hours": read_names(
                    connection,
                    things=(
                        (HOUR, str(each.entry_id))
                        for each in detail.members[:_MEMBERS_SHOWN_MAX]
                        if each.entry_id
                    ),
                ),
                "members_shown_max": _MEMBERS_SHOWN_MAX,
            }
        return renderer.page(
            request,
            visitor,
            "case.html",
            new_client=_NEW_CLIENT,
            asks_for_pair=detail.case.reason in PAIR_REASONS,
            may_work=visitor.may(ROLES_THAT_WORK),
            may_match=visitor.may(ROLES_THAT_MATCH),
            may_approve=visitor.may(ROLES_THAT_APPROVE),
            hours_waiting=sum(1 for each in detail.members if each.entry_id and not each.left_at),
            **found,
        )

    @pages.get("/exceptions/{case_id}/file.xlsx")
    def members(visitor: Annotated[Visitor, Depends(door.visitor)], case_id: UUID) -> Response:
        with door.sight_of(visitor) as connection:
            detail = _get(connection, case_id)
        return renderer.file(
            visitor,
            name="exception",
            title=f"{reason_words(detail.case.reason, detail.case.details)}: {detail.case.thing_key}",
            filters={},
            sheets=(member_sheet(detail.members),),
        )


def _add_again(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.get("/exceptions/again")
    def what_would_happen_to_several(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        case: Annotated[list[UUID] | None, Query(max_length=ROWS_PER_PAGE)] = None,
        which: QueryWord = "",
        entity: QueryWord = "",
        reason: QueryWord = "",
        queue: QueryWord = "",
        owner: QueryWord = "",
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "send hours again")
        with door.sight_of(visitor) as connection:
            wanted = _wanted(entity=entity, reason=reason, queue=queue, owner=owner)
            case_ids = (
                case or ()
                if which == _PICKED
                else find_again(connection, **wanted, now=renderer.now)
            )
            shown = _preview(connection, case_ids, system=system)
        return renderer.page(request, visitor, "again.html", shown=shown, case=None)

    @pages.post("/exceptions/again")
    def send_several_again(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        case: Annotated[list[UUID], Form(max_length=CASES_AGAIN_MAX)],
        digest: FormDigest,
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "send hours again")
        with door.sight_of(visitor) as connection:
            try:
                send_again(
                    connection,
                    database=system.database,
                    case_ids=case,
                    digest=digest,
                    reason=reason,
                    by=_by(visitor),
                    clock=system.clock,
                )
            except LookupError as error:
                raise not_found("One of these cases is not in your sight.") from error
        return back_to("/exceptions", done="sent_several_again")


def _add_preview(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.get("/exceptions/{case_id}/again")
    def what_would_happen(
        request: Request, visitor: Annotated[Visitor, Depends(door.visitor)], case_id: UUID
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "send hours again")
        with door.sight_of(visitor) as connection:
            detail = _get(connection, case_id)
            if detail.case.state != "open":
                raise UserMistake("the case is closed: nothing waits for it")
            shown = _preview(connection, (case_id,), system=system)
        return renderer.page(request, visitor, "again.html", shown=shown, case=detail.case)


def _add_doing(pages: FastAPI, *, door: Door, renderer: Renderer) -> None:
    @pages.post("/exceptions/assign")
    def hand_out_several(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        case: Annotated[list[UUID], Form(max_length=ROWS_PER_PAGE)],
        to: FormWord = "",
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "hand out cases")
        with door.sight_of(visitor) as connection:
            # All of them or none: who may not see one of them is given none.
            for case_id in dict.fromkeys(case):
                entity_code = _get(connection, case_id).case.entity_code
                if to and to not in _owners(connection, visitor, entity_code=entity_code):
                    raise UserMistake(f"{to} may not see all of these cases")
                assign_case(
                    connection, case_id=case_id, to=to or None, by=_by(visitor), now=renderer.now
                )
        return back_to("/exceptions", done="assigned_several")

    @pages.post("/exceptions/{case_id}/assign")
    def hand_out(
        case_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        to: FormWord = "",
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "hand out cases")
        with door.sight_of(visitor) as connection:
            entity_code = _get(connection, case_id).case.entity_code
            if to and to not in _owners(connection, visitor, entity_code=entity_code):
                raise UserMistake("the case can be given to somebody who may see it, or to nobody")
            assign_case(
                connection, case_id=case_id, to=to or None, by=_by(visitor), now=renderer.now
            )
        return back_to(f"/exceptions/{case_id}", done="assigned")

    @pages.post("/exceptions/{case_id}/again")
    def send_again(
        case_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "send hours again")
        with door.sight_of(visitor) as connection:
            _get(connection, case_id)
            replay_case(
                connection, case_id=case_id, reason=reason, by=_by(visitor), now=renderer.now
            )
        return back_to(f"/exceptions/{case_id}", done="sent_again")

    @pages.post("/exceptions/{case_id}/dismiss")
    def close_without(
        case_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "close cases")
        with door.sight_of(visitor) as connection:
            _get(connection, case_id)
            dismiss_case(
                connection, case_id=case_id, reason=reason, by=_by(visitor), now=renderer.now
            )
        return back_to(f"/exceptions/{case_id}", done="dismissed")

    @pages.post("/exceptions/{case_id}/leave-out")
    def ask_to_leave_out(
        case_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "propose to leave hours out")
        with door.sight_of(visitor) as connection:
            _get(connection, case_id)
            propose_leave_out(
                connection, case_id=case_id, reason=reason, by=_by(visitor), now=renderer.now
            )
        return back_to(f"/exceptions/{case_id}", done="proposed")

    @pages.post("/exceptions/{case_id}/same-client")
    def say_which_client(
        case_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        client: FormWord,
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_MATCH, "say which client it is")
        with door.sight_of(visitor) as connection:
            _get(connection, case_id)
            try:
                propose_same_client(
                    connection,
                    case_id=case_id,
                    client_id=_client_id(client),
                    reason=reason,
                    by=visitor.login,
                    now=renderer.now,
                )
            except LookupError as error:
                raise not_found("This case does not ask which client a record is.") from error
        return back_to(f"/exceptions/{case_id}", done="proposed")


class _Wanted(TypedDict):
    entity_code: str | None
    reason: str | None
    owner_queue: str | None
    assigned_to: str | None


def _wanted(*, entity: str, reason: str, queue: str, owner: str) -> _Wanted:
    return {
        "entity_code": entity or None,
        "reason": reason or None,
        "owner_queue": queue or None,
        "assigned_to": "" if owner == _NOBODY else owner or None,
    }


def _names(connection: Connection[Row], cases: Iterable[CaseSummary]) -> Mapping[Thing, str]:
    return read_names(connection, things=((each.thing_kind, each.thing_key) for each in cases))


def _client_id(text: str) -> UUID | None:
    if text == _NEW_CLIENT:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise UserMistake("choose one of the clients, or a new one") from error


def _question_of(connection: Connection[Row], detail: CaseDetail) -> Question | None:
    if detail.case.reason not in DECIDED_REASONS:
        return None
    try:
        return read_question(connection, case_id=detail.case.case_id)
    except LookupError:
        # The record is gone since; the case closes with the next pass over clients.
        return None


def _preview(connection: Connection[Row], case_ids: Collection[UUID], *, system: System) -> Again:
    try:
        return preview_again(
            connection, database=system.database, case_ids=case_ids, clock=system.clock
        )
    except LookupError as error:
        raise not_found("One of these cases is not in your sight.") from error


def _by(visitor: Visitor) -> Decider:
    return Decider(login=visitor.login)


def _get(connection: Connection[Row], case_id: UUID) -> CaseDetail:
    try:
        return get_case(connection, case_id=case_id)
    except LookupError as error:
        raise not_found("No such case is in your sight.") from error


def _link_of(detail: CaseDetail, links: Links) -> str | None:
    # The thing of a case is written connection:reference, or connection:reference:more.
    connection_key, _, rest = detail.case.thing_key.partition(":")
    object_name = _OBJECTS.get(detail.case.thing_kind, "")
    return links.record(
        connection_key=connection_key, object=object_name, source_ref=rest.partition(":")[0]
    )


def _owners(
    connection: Connection[Row], visitor: Visitor, *, entity_code: str | None = None
) -> list[str]:
    # People who see at least one of the visitor's legal entities, or the very one asked for.
    shared = {entity_code} if entity_code else set(visitor.entities)
    return [person.login for person in list_people(connection) if shared & set(person.entities)]


def _chart(causes: Sequence[Cause]) -> dict[str, Any]:
    # Hours can be added, money in several currencies cannot: the bars are hours, amounts are told.
    seconds: dict[str, int] = {}
    amounts: dict[str, dict[str, Decimal]] = {}
    for cause in causes:
        name = reason_words(cause.reason)
        seconds[name] = seconds.get(name, 0) + cause.seconds
        if cause.currency:
            kept = amounts.setdefault(name, {})
            kept[cause.currency] = kept.get(cause.currency, Decimal(0)) + cause.amount
    names = sorted((name for name in seconds if seconds[name]), key=lambda name: -seconds[name])
    names = names[:_CAUSES_SHOWN_MAX]
    return {
        "kind": "bars",
        "unit": "h",
        "categories": names,
        "notes": [
            ", ".join(
                f"{currency} {amount:,.2f}" for currency, amount in amounts.get(name, {}).items()
            )
            for name in names
        ],
        "series": [
            {
                "name": "Hours that need attention",
                "place": "held",
                "seconds": [seconds[name] for name in names],
            }
        ],
    }
