"""What would need attention of the hours that nobody has approved yet? The most money first."""

from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response

from tieline.console import words
from tieline.console.fields import QueryPage, QueryWord
from tieline.console.rendering import ROWS_PER_PAGE, Paging, Renderer
from tieline.console.sessions import Door, Visitor
from tieline.console.tie_out import read_entities
from tieline.console.workbook import Column, Kind, Sheet
from tieline.kernel.errors import UserMistake
from tieline.policy import has_release
from tieline.services.early_look import HELD, EarlyLook, read_early_look
from tieline.services.installation import entity_codes
from tieline.services.system import System
from tieline.validation import EarlyVerdict


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page and its file."""

    def seen(visitor: Visitor) -> EarlyLook:
        # The judge reads every legal entity and writes nothing; what is out of sight is left out here.
        with system.judge_database.transaction() as connection:
            if not has_release(connection):
                return EarlyLook(hours=(), is_decided=False)
            return read_early_look(
                connection,
                now=renderer.now,
                entities=visitor.entities,
                all_entities=entity_codes(connection),
            )

    @pages.get("/early")
    def early(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        project: QueryWord = "",
        person: QueryWord = "",
        approver: QueryWord = "",
        manager: QueryWord = "",
        state: QueryWord = HELD,
        page: QueryPage = 1,
    ) -> Response:
        whole = seen(visitor)
        found = _of(
            whole, entity=entity, project=project, person=person, approver=approver, manager=manager
        )
        hours = _sorted(found.of(state=state))
        with door.sight_of(visitor) as connection:
            entities = read_entities(connection)
        return renderer.page(
            request,
            visitor,
            "early.html",
            found=found,
            hours=hours[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE],
            entities=entities,
            projects=sorted({each.project_code for each in whole.hours if each.project_code}),
            people=_people((each.person_id, each.person_name) for each in whole.hours),
            approvers=_people((each.approver_id, each.approver_name) for each in whole.hours),
            managers=_people(pair for each in whole.hours for pair in each.managers.items()),
            paging=Paging(
                page=page,
                total=len(hours),
                path="/early",
                filters={
                    "entity": entity,
                    "project": project,
                    "person": person,
                    "approver": approver,
                    "manager": manager,
                    "state": state,
                },
            ),
        )

    @pages.get("/early.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        project: QueryWord = "",
        person: QueryWord = "",
        approver: QueryWord = "",
        manager: QueryWord = "",
        state: QueryWord = HELD,
    ) -> Response:
        found = _of(
            seen(visitor),
            entity=entity,
            project=project,
            person=person,
            approver=approver,
            manager=manager,
        )
        filters = {
            "entity": entity,
            "project": project,
            "person": person,
            "approver": approver,
            "manager": manager,
            "state": state,
        }
        return renderer.file(
            visitor,
            name="early-look",
            title="What would need attention of what is not approved yet",
            filters=filters,
            notes=(
                "Each entry was judged as if it had been approved at this moment.",
                "Nothing of it is kept, and nothing is sent before it is approved.",
            ),
            sheets=(_sheet(_sorted(found.of(state=state))),),
        )


def _of(
    whole: EarlyLook, *, entity: str, project: str, person: str, approver: str, manager: str
) -> EarlyLook:
    return whole.of(
        entity_code=entity,
        project_code=project,
        person_id=_id(person),
        approver_id=_id(approver),
        manager_id=_id(manager),
    )


def _id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise UserMistake("a person is asked for by an id, as the page's list gives it") from error


def _sorted(found: EarlyLook) -> list[EarlyVerdict]:
    return sorted(
        found.hours, key=lambda each: (each.amount is None, -(each.amount or 0), each.work_date)
    )


def _people(pairs: Iterable[tuple[UUID | None, str | None]]) -> list[tuple[str, str]]:
    names = {
        str(person_id): words.person(name, person_id)
        for person_id, name in pairs
        if person_id is not None
    }
    return sorted(names.items(), key=lambda pair: pair[1])


def _sheet(hours: list[EarlyVerdict]) -> Sheet:
    return Sheet(
        name="Early",
        columns=(
            Column(title="Person", width=28),
            Column(title="Legal entity"),
            Column(title="Project"),
            Column(title="Day", kind=Kind.DAY),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Early verdict"),
            Column(title="Why", width=60),
            Column(title="What to do", width=60),
            Column(title="Approver", width=28),
            Column(title="Project managers", width=28),
        ),
        rows=[
            (
                each.person_name,
                each.entity_code,
                each.project_code,
                each.work_date,
                each.seconds,
                each.amount,
                each.currency,
                words.spoken(each.outcome, words.OUTCOMES),
                "; ".join(words.reason(reason.code) for reason in each.reasons),
                "; ".join(reason.fix_hint for reason in each.reasons),
                each.approver_name,
                ", ".join(sorted(words.person(name, key) for key, name in each.managers.items())),
            )
            for each in hours
        ],
    )
