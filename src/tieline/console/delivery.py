"""How do my projects stand? Hours sold, planned, booked, approved and billed, and who to assign anew."""

from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response

from tieline.console.fields import QueryPage, QueryWord
from tieline.console.rendering import ROWS_PER_PAGE, Paging, Renderer
from tieline.console.sessions import Door, Visitor
from tieline.console.tie_out import read_entities
from tieline.console.words import person as person_words
from tieline.console.workbook import Column, Kind, Sheet
from tieline.kernel.errors import UserMistake
from tieline.services.delivery import (
    ENDING_WORKING_DAYS,
    LOOK_BACK_DAYS,
    Delivery,
    Place,
    Someone,
    State,
    read_delivery,
)
from tieline.services.system import System

_NOT_TOLD = "not told"
_SHOWN_MAX = 15


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page and its file."""

    @pages.get("/delivery")
    def delivery(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        approver: QueryWord = "",
        state: QueryWord = State.ALL,
        words: QueryWord = "",
        page: QueryPage = 1,
    ) -> Response:
        filters = {"entity": entity, "approver": approver, "state": state, "words": words}
        with door.sight_of(visitor) as connection:
            whole = read_delivery(
                connection, systems=system.systems, now=renderer.now, entity_code=entity
            )
            entities = read_entities(connection)
        found = _of(whole, approver=approver, state=state, words=words)
        return renderer.page(
            request,
            visitor,
            "delivery.html",
            whole=whole,
            found=found,
            contracts=found.contracts[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE],
            approvers=[(str(each.person_id), _named(each)) for each in whole.approvers],
            entities=entities,
            paging=Paging(page=page, total=len(found.contracts), path="/delivery", filters=filters),
            shown_max=_SHOWN_MAX,
            working_days=ENDING_WORKING_DAYS,
            look_back_days=LOOK_BACK_DAYS,
        )

    @pages.get("/delivery.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        approver: QueryWord = "",
        state: QueryWord = State.ALL,
        words: QueryWord = "",
    ) -> Response:
        with door.sight_of(visitor) as connection:
            whole = read_delivery(
                connection, systems=system.systems, now=renderer.now, entity_code=entity
            )
        found = _of(whole, approver=approver, state=state, words=words)
        return renderer.file(
            visitor,
            name="delivery",
            title="How projects stand",
            filters={"entity": entity, "approver": approver, "state": state, "words": words},
            notes=(
                "Sold hours are a contract's: they repeat on each of its projects, and are not to be added there.",
                "Booked hours are what the time tools hold, approved or not; before go-live is a part of them.",
                f"An assignment ends soon within {ENDING_WORKING_DAYS} working days of its person, where none follows.",
                f"Without an assignment: hours of the last {LOOK_BACK_DAYS} days.",
            ),
            sheets=(_projects(found), _assignments(found), _strays(found)),
        )


def _of(whole: Delivery, *, approver: str, state: str, words: str) -> Delivery:
    known = State(state) if state in set(State) else State.ALL
    return whole.of(state=known, approver_id=_id(approver) if approver else None, words=words)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise UserMistake(
            "an approver is asked for by an id, as the page's list gives it"
        ) from error


def _named(one: Someone) -> str:
    return person_words(one.name, one.person_id)


def _projects(found: Delivery) -> Sheet:
    return Sheet(
        name="Projects",
        columns=(
            Column(title="Project"),
            Column(title="Name", width=28),
            Column(title="Contract"),
            Column(title="Client", width=28),
            Column(title="Legal entity"),
            Column(title="Ends before", kind=Kind.DAY),
            Column(title="Sold, whole contract", kind=Kind.HOURS),
            Column(title="Lines that do not tell it", kind=Kind.COUNT),
            Column(title="Planned", kind=Kind.HOURS),
            Column(title="Assignments without a plan", kind=Kind.COUNT),
            Column(title="Booked", kind=Kind.HOURS),
            Column(title="Before go-live", kind=Kind.HOURS),
            Column(title="Approved", kind=Kind.HOURS),
            Column(title="Billed", kind=Kind.HOURS),
            Column(title="Of nobody we know", kind=Kind.HOURS),
        ),
        rows=[
            (
                each.project_code,
                each.project_name,
                each.contract_code,
                each.client_name,
                each.entity_code,
                each.ends_on,
                _NOT_TOLD if each.sold_seconds is None else each.sold_seconds,
                each.unsold_lines,
                _NOT_TOLD if each.planned_seconds is None else each.planned_seconds,
                each.unplanned,
                each.booked_seconds,
                each.early_seconds,
                each.approved_seconds,
                each.billed_seconds,
                each.nobody_seconds,
            )
            for each in found.projects
        ],
    )


def _assignments(found: Delivery) -> Sheet:
    return Sheet(
        name="Assignments",
        columns=(
            Column(title="Project"),
            Column(title="Legal entity"),
            Column(title="Person", width=28),
            Column(title="Labor category"),
            Column(title="From", kind=Kind.DAY),
            Column(title="Until before", kind=Kind.DAY),
            Column(title="Working days left", kind=Kind.COUNT),
            Column(title="Planned", kind=Kind.HOURS),
            Column(title="Booked", kind=Kind.HOURS),
            Column(title="Approver", width=28),
            Column(title="Needs a look", width=28),
            Column(title="Told by", width=28),
        ),
        rows=[
            (
                project.project_code,
                project.entity_code,
                _named(one.person),
                one.labor_category,
                one.starts_on,
                one.ends_on,
                one.days_left,
                _NOT_TOLD if one.planned_seconds is None else one.planned_seconds,
                one.booked_seconds,
                _named(one.approver) if one.approver else None,
                ", ".join(
                    word
                    for word, is_so in (("ends soon", one.is_ending), ("exceeded", one.is_exceeded))
                    if is_so
                )
                or None,
                told(one.told_by) if one.told_by else None,
            )
            for project in found.projects
            for one in project.placements
        ],
    )


def _strays(found: Delivery) -> Sheet:
    return Sheet(
        name="Without assignment",
        columns=(
            Column(title="Project"),
            Column(title="Legal entity"),
            Column(title="Person", width=28),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="First day", kind=Kind.DAY),
            Column(title="Last day", kind=Kind.DAY),
            Column(title="Add it in", width=28),
        ),
        rows=[
            (
                project.project_code,
                project.entity_code,
                _named(one.person),
                one.seconds,
                one.first_on,
                one.last_on,
                _listed(found.staffing),
            )
            for project, one in found.strays
        ],
    )


def told(place: Place) -> str:
    """Say where something is told: its system, file and line."""
    line = f", line {place.line_number}" if place.line_number else ""
    return (
        f"{place.connection_key} ({place.file_name}{line})"
        if place.file_name
        else place.connection_key
    )


def _listed(places: Iterable[Place]) -> str | None:
    return ", ".join(each.connection_key for each in places) or None
