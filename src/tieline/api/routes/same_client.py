"""Pairs that may be one client, and clients that become one or two again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from psycopg import Connection

from tieline.api.answers import ClientsMerged, PairAnswered, Pairs
from tieline.api.bodies import Because, MergeInto, PairAnswer
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.casework import get_case
from tieline.governance import ApiCaller
from tieline.runtime.database import Row
from tieline.services.client_fields import ExplainedClient, explain_client
from tieline.services.client_merging import Merged, merge_clients, unmerge_clients
from tieline.services.client_pairs import (
    Answered,
    Pair,
    answer_pair,
    list_pairs,
    read_pair,
    undo_last,
)
from tieline.services.links import read_links
from tieline.services.register_lists import get_client


def same_client_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and said about pairs, and merges."""
    routes = APIRouter(tags=["clients"])
    _add_reading(routes, doors)
    _add_answering(routes, doors)
    _add_merging(routes, doors)
    return routes


def _add_reading(routes: APIRouter, doors: Doors) -> None:
    reader = doors.may("cases:write")
    looker = doors.may("time:read")
    system = doors.system

    @routes.get("/v1/same-client", responses=problems(401, 403))
    def pairs(caller: Annotated[ApiCaller, Depends(reader)]) -> Pairs:
        """List the cases that ask whether two are one client."""
        with doors.sight(caller) as connection:
            return Pairs(pairs=list_pairs(connection, asking=caller.issued_by))

    @routes.get("/v1/same-client/{case_id}", responses=problems(401, 403, 404))
    def pair(case_id: UUID, caller: Annotated[ApiCaller, Depends(reader)]) -> Pair:
        """Show the likeliest pair of a case: both records, what each field told, what would follow."""
        with (
            doors.sight(caller) as connection,
            system.judge_database.transaction() as everything,
            unknown_is_404("case"),
        ):
            return read_pair(
                connection,
                case_id=case_id,
                links=read_links(connection, systems=system.systems),
                reader=everything,
                connectors=system.connectors,
                now=system.clock.now(),
            )

    @routes.get("/v1/clients/{client_id}/fields", responses=problems(401, 403, 404))
    def fields(client_id: UUID, caller: Annotated[ApiCaller, Depends(looker)]) -> ExplainedClient:
        """Explain a client field by field: who says what, whose word counts and why, and its merges."""
        with doors.sight(caller) as connection, unknown_is_404("client"):
            get_client(connection, client_id=client_id, systems=system.systems)
        with system.judge_database.transaction() as everything:
            return explain_client(everything, client_id=client_id, now=system.clock.now())


def _add_answering(routes: APIRouter, doors: Doors) -> None:
    changer = doors.may_change("cases:write")
    system = doors.system

    @routes.post(
        "/v1/same-client/{case_id}:answer",
        response_model=PairAnswered,
        responses=problems(400, 401, 403, 404, 409),
    )
    def answer(
        case_id: UUID, body: PairAnswer, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Say of a pair whether it is one client; what takes two people is proposed."""

        def work(connection: Connection[Row]) -> PairAnswered:
            return _told(
                answer_pair(
                    connection,
                    case_id=case_id,
                    client_id=body.client_id,
                    answer=body.answer,
                    reason=body.reason,
                    by=change.by.login,
                    through=change.by.through,
                    connectors=system.connectors,
                    now=change.now,
                )
            )

        with unknown_is_404("case"):
            with doors.sight(change.caller) as connection:
                get_case(connection, case_id=case_id)
            return change.once(body=body, work=work, database=system.database)

    @routes.post(
        "/v1/same-client:undo", response_model=PairAnswered, responses=problems(400, 401, 403, 409)
    )
    def undo(change: Annotated[Change, Depends(changer)]) -> Response:
        """Take back what the caller's person said last of a pair."""

        def work(connection: Connection[Row]) -> PairAnswered:
            return _told(
                undo_last(
                    connection,
                    by=change.by.login,
                    through=change.by.through,
                    connectors=system.connectors,
                    now=change.now,
                )
            )

        return change.once(body=None, work=work, database=system.database)


def _add_merging(routes: APIRouter, doors: Doors) -> None:
    changer = doors.may_change("cases:write")
    system = doors.system

    @routes.post(
        "/v1/clients/{client_id}:merge",
        response_model=ClientsMerged,
        responses=problems(400, 401, 403, 404, 409),
    )
    def merge(
        client_id: UUID, body: MergeInto, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Let a client become another; where money was posted for it, a second person decides."""

        def work(connection: Connection[Row]) -> ClientsMerged:
            return _said(
                merge_clients(
                    connection,
                    losing_id=client_id,
                    winning_id=body.into,
                    by=change.by.login,
                    through=change.by.through,
                    reason=body.reason,
                    connectors=system.connectors,
                    now=change.now,
                )
            )

        _must_see(doors, change, client_id, body.into)
        return change.once(body=body, work=work, database=system.database)

    @routes.post(
        "/v1/clients/{client_id}:unmerge",
        response_model=ClientsMerged,
        responses=problems(400, 401, 403, 404, 409),
    )
    def unmerge(
        client_id: UUID, body: Because, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Let a client that was merged be one of its own again, with the records that were its own."""

        def work(connection: Connection[Row]) -> ClientsMerged:
            return _said(
                unmerge_clients(
                    connection,
                    losing_id=client_id,
                    by=change.by.login,
                    through=change.by.through,
                    reason=body.reason,
                    connectors=system.connectors,
                    now=change.now,
                )
            )

        _must_see(doors, change, client_id)
        return change.once(body=body, work=work, database=system.database)


def _must_see(doors: Doors, change: Change, *client_ids: UUID) -> None:
    with doors.sight(change.caller) as connection, unknown_is_404("client"):
        for client_id in client_ids:
            get_client(connection, client_id=client_id, systems=doors.system.systems)


def _told(done: Answered) -> PairAnswered:
    return PairAnswered(
        case_id=done.case_id, answer=done.answer, waits_for_second=done.waits_for_second
    )


def _said(done: Merged) -> ClientsMerged:
    return ClientsMerged(
        merge_id=done.merge_id,
        proposal_id=None if done.proposal is None else done.proposal.proposal_id,
        records=tuple(f"{each.connection_key}:{each.source_ref}" for each in done.moved),
    )
