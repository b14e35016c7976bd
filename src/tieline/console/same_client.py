"""Are these two one client? One pair after the other, decided by a key or a button."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.casework import get_case
from tieline.console.fields import FormText, FormWord, QueryWord
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer, back_to, waiting_proposals
from tieline.console.sessions import Door, Visitor
from tieline.governance import open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.services.client_pairs import (
    DIFFERENT,
    LATER,
    SAME,
    Answer,
    Pair,
    Waiting,
    answer_pair,
    list_pairs,
    read_pair,
    undo_last,
)
from tieline.services.deciding import ROLES_THAT_MATCH
from tieline.services.links import read_links
from tieline.services.system import System

_PAGE = "/same-client"
_WHY = "what both records say"
_ANSWERS: dict[str, Answer] = {SAME: "same", DIFFERENT: "different", LATER: "later"}


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page, its three answers, and taking the last one back."""

    def shown(visitor: Visitor, waiting: tuple[Waiting, ...], case_id: UUID | None) -> Pair | None:
        with (
            door.sight_of(visitor) as connection,
            system.judge_database.transaction() as reader,
        ):
            links = read_links(connection, systems=system.systems)
            for each in [case_id] if case_id else [one.case_id for one in waiting]:
                try:
                    return read_pair(
                        connection, case_id=each, links=links, reader=reader,
                        connectors=system.connectors, now=renderer.now,
                    )  # fmt: skip
                except LookupError as error:
                    # The record of a case may be gone since it was asked about: the next one is shown.
                    if case_id:
                        raise not_found("No such pair is in your sight.") from error
        return None

    @pages.get(_PAGE)
    def one_pair(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        case: QueryWord = "",
    ) -> Response:
        with door.sight_of(visitor) as connection:
            waiting = list_pairs(connection, asking=visitor.login)
        pair = shown(visitor, waiting, _id(case) if case else None)
        with door.sight_of(visitor) as connection:
            proposals = waiting_proposals(connection, object=f"case:{pair.case_id}") if pair else ()
        return renderer.page(
            request,
            visitor,
            "same_client.html",
            pair=pair,
            left=len(waiting),
            put_off=sum(each.put_off_at is not None for each in waiting),
            proposals=proposals,
            may_match=visitor.may(ROLES_THAT_MATCH),
        )

    @pages.post(f"{_PAGE}/answer")
    def answer(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        case: FormWord,
        client: FormWord,
        answer: FormWord,
        reason: FormText = "",
    ) -> Response:
        visitor.must(ROLES_THAT_MATCH, "say which client it is")
        if answer not in _ANSWERS:
            raise UserMistake("say whether they are one client, two, or that you look later")
        with door.sight_of(visitor) as connection:
            _must_see(connection, _id(case))
        # The register is the worker's; what may be seen is still the person's.
        with open_web_transaction(system.database, entities=visitor.entities) as connection:
            done = answer_pair(
                connection,
                case_id=_id(case),
                client_id=_id(client),
                answer=_ANSWERS[answer],
                reason=reason or _WHY,
                by=visitor.login,
                connectors=system.connectors,
                now=renderer.now,
            )
        return back_to(_PAGE, done="pair_proposed" if done.waits_for_second else f"pair_{answer}")

    @pages.post(f"{_PAGE}/undo")
    def undo(visitor: Annotated[Visitor, Depends(door.signed_visitor)]) -> Response:
        visitor.must(ROLES_THAT_MATCH, "take back which client it is")
        with open_web_transaction(system.database, entities=visitor.entities) as connection:
            done = undo_last(
                connection, by=visitor.login, connectors=system.connectors, now=renderer.now
            )
        page = _PAGE if done.case_id is None else f"{_PAGE}?case={done.case_id}"
        return back_to(page, done="pair_proposed" if done.waits_for_second else "pair_undone")


def _must_see(connection: Connection[Row], case_id: UUID) -> None:
    try:
        get_case(connection, case_id=case_id)
    except LookupError as error:
        raise not_found("No such pair is in your sight.") from error


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise UserMistake("a pair is asked for by its id, as the page gives it") from error
