"""Who has not handed in or approved time? Missing hours first, then person by person, and reminding."""

from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Form
from fastapi.requests import Request
from fastapi.responses import Response

from tieline.console import words
from tieline.console.fields import FormReason, FormWord, QueryPage, QueryWord
from tieline.console.rendering import ROWS_PER_PAGE, Paging, Renderer, back_to
from tieline.console.sessions import Door, Visitor
from tieline.console.tie_out import read_entities
from tieline.console.workbook import Column, Kind, Sheet
from tieline.kernel.errors import UserMistake
from tieline.services.deciding import ROLES_THAT_WORK
from tieline.services.missing_time import (
    ALL,
    MISSING,
    STATES,
    Approver,
    MissingPerson,
    MissingTime,
    Named,
    deputize,
    read_missing_time,
    remind,
)
from tieline.services.reminding import reminding_desk
from tieline.services.system import System

_NOT_CHECKED = "not checked"


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page, its file, and what one does about missing time."""
    _add_reading(pages, door=door, renderer=renderer)
    _add_doing(pages, system=system, door=door, renderer=renderer)


def _add_reading(pages: FastAPI, *, door: Door, renderer: Renderer) -> None:
    @pages.get("/missing")
    def missing(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        period: QueryWord = "",
        approver: QueryWord = "",
        state: QueryWord = MISSING,
        page: QueryPage = 1,
    ) -> Response:
        filters = {"entity": entity, "period": period, "approver": approver, "state": state}
        with door.sight_of(visitor) as connection:
            whole = read_missing_time(
                connection, now=renderer.now, entity_code=entity, period_code=period
            )
            entities = read_entities(connection)
            periods = connection.execute(
                "SELECT DISTINCT period_code FROM fiscal_period WHERE starts_on < %s ORDER BY 1 DESC LIMIT 24",
                (renderer.now.date(),),
            ).fetchall()
        found = _of(whole, approver)
        people = _sorted(found, state)
        return renderer.page(
            request,
            visitor,
            "missing.html",
            found=found,
            people=people[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE],
            approvers=sorted(found.approvers, key=lambda each: -each.unapproved_seconds),
            choices=_choices(whole),
            entities=entities,
            periods=[row["period_code"] for row in periods],
            paging=Paging(page=page, total=len(people), path="/missing", filters=filters),
            may_work=visitor.may(ROLES_THAT_WORK),
            tomorrow=renderer.now.date() + timedelta(days=1),
        )

    @pages.get("/missing.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        period: QueryWord = "",
        approver: QueryWord = "",
        state: QueryWord = MISSING,
    ) -> Response:
        filters = {"entity": entity, "period": period, "approver": approver, "state": state}
        with door.sight_of(visitor) as connection:
            whole = read_missing_time(
                connection, now=renderer.now, entity_code=entity, period_code=period
            )
        found = _of(whole, approver)
        return renderer.file(
            visitor,
            name="missing-time",
            title="Who has not handed in or approved time",
            filters=filters,
            notes=(
                "Days that are over, in the zone of the legal entity; hours of one week make up for each other.",
                "An estimate is what the person's hours of the last 90 days came to, billed or not.",
                "Amounts of different currencies are never added.",
            ),
            sheets=(_people_sheet(_sorted(found, state)), _approver_sheet(found.approvers)),
        )


def _add_doing(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.post("/missing/remind")
    def send_reminders(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
        entity: FormWord = "",
        period: FormWord = "",
        approver: FormWord = "",
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "remind people")
        with door.sight_of(visitor) as connection:
            whole = read_missing_time(
                connection, now=renderer.now, entity_code=entity, period_code=period
            )
        # Only who sees every message may write one; what it says is what the visitor sees.
        with system.database.transaction() as connection:
            done = remind(
                connection,
                found=_of(whole, approver),
                desk=reminding_desk(connection, system=system),
                by=visitor.login,
                reason=reason,
            )
        return back_to("/missing", done="reminded" if done.written else "reminded_before")

    @pages.post("/missing/deputize")
    def let_stand_in(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        approver: Annotated[UUID, Form()],
        deputy: FormWord,
        starts_on: Annotated[date, Form()],
        last_on: Annotated[date, Form()],
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "say who stands in")
        with door.sight_of(visitor) as connection:
            found = read_missing_time(connection, now=renderer.now)
        if approver not in {each.person.person_id for each in found.approvers}:
            raise UserMistake("nobody in your sight waits for an approval of theirs")
        with system.database.transaction() as connection:
            deputize(
                connection,
                approver_id=approver,
                deputy=deputy,
                starts_on=starts_on,
                ends_on=last_on + timedelta(days=1),
                by=visitor.login,
                reason=reason,
                now=renderer.now,
            )
        return back_to("/missing", done="proposed")


def _of(whole: MissingTime, approver: str) -> MissingTime:
    return whole.of_approver(_id(approver)) if approver else whole


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise UserMistake(
            "an approver is asked for by an id, as the page's list gives it"
        ) from error


def _sorted(found: MissingTime, state: str) -> list[MissingPerson]:
    wanted = state if state in STATES else ALL
    return sorted(
        (each for each in found.people if each.is_in(wanted)),
        key=lambda each: (-each.missing_seconds, -each.unapproved_seconds, _named(each.person)),
    )


def _choices(whole: MissingTime) -> list[tuple[str, str]]:
    names = {str(each.person.person_id): _named(each.person) for each in whole.approvers}
    return sorted(names.items(), key=lambda pair: pair[1])


def _named(person: Named) -> str:
    return words.person(person.name, person.person_id)


def _people_sheet(people: list[MissingPerson]) -> Sheet:
    return Sheet(
        name="People",
        columns=(
            Column(title="Person", width=28),
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="From", kind=Kind.DAY),
            Column(title="Until before", kind=Kind.DAY),
            Column(title="Expected", kind=Kind.HOURS),
            Column(title="Entered", kind=Kind.HOURS),
            Column(title="Submitted", kind=Kind.HOURS),
            Column(title="Approved", kind=Kind.HOURS),
            Column(title="Missing", kind=Kind.HOURS),
            Column(title="Waits for approval", kind=Kind.HOURS),
            Column(title="Estimate", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Days not known", kind=Kind.COUNT),
            Column(title="Why not known", width=28),
            Column(title="Approvers", width=28),
        ),
        rows=[
            (
                _named(each.person),
                each.entity_code,
                each.period_code,
                each.starts_on,
                each.until_on,
                each.expected_seconds,
                each.entered_seconds,
                _NOT_CHECKED if each.submitted_seconds is None else each.submitted_seconds,
                each.approved_seconds,
                each.missing_seconds,
                each.unapproved_seconds,
                each.worth.amount if each.worth else None,
                each.worth.currency if each.worth else None,
                each.unknown_days,
                words.NOT_EXPECTED.get(each.unknown, each.unknown),
                ", ".join(_named(one) for one in each.approvers),
            )
            for each in people
        ],
    )


def _approver_sheet(approvers: tuple[Approver, ...]) -> Sheet:
    return Sheet(
        name="Approvers",
        columns=(
            Column(title="Approver", width=28),
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="People who wait", kind=Kind.COUNT),
            Column(title="Entered", kind=Kind.HOURS),
            Column(title="Approved", kind=Kind.HOURS),
            Column(title="Waits for approval", kind=Kind.HOURS),
            Column(title="Away until before", kind=Kind.DAY),
            Column(title="Stands in", width=28),
        ),
        rows=[
            (
                _named(each.person),
                each.entity_code,
                each.period_code,
                each.people,
                each.entered_seconds,
                each.approved_seconds,
                each.unapproved_seconds,
                each.away_until,
                _named(each.deputy) if each.deputy else None,
            )
            for each in approvers
        ],
    )
