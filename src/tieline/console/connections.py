"""Can I trust the plumbing now? Health, mode, lag and quota of each connection, what was refused."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.console import words
from tieline.console.connections_file import Health, RefusedChange, connection_sheets
from tieline.console.fields import FormReason
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer, back_to
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.kernel.errors import UserMistake
from tieline.posting import list_stops
from tieline.reconciliation import list_results
from tieline.register import StandingDrift, list_drifts
from tieline.services.forecast import Outlook, read_outlook
from tieline.services.links import Links, read_links
from tieline.services.pausing import ROLES_THAT_PAUSE, set_paused
from tieline.services.standing_checks import propose_lift
from tieline.services.system import System

_STALE_AFTER_POLLS = 10
_DRIFTS_SHOWN_MAX = 50
_POLL_SECONDS_DEFAULT = 60
_OUTCOMES: Mapping[str, str] = {
    "answered": "Answered",
    "deferred": "Asked us to wait",
    "failed": "Not answered",
}

Row = dict[str, Any]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page, and pausing and resuming."""

    @pages.get("/connections")
    def connections(
        request: Request, visitor: Annotated[Visitor, Depends(door.visitor)]
    ) -> Response:
        with door.sight_of(visitor) as connection:
            found = _find(connection)
            outcomes = _read_outcomes(connection)
            failed = _read_failed(connection)
            stops = list_stops(connection)
        drifts = found["drifts"]
        return renderer.page(
            request,
            visitor,
            "connections.html",
            failed=failed,
            drifts_shown=drifts[:_DRIFTS_SHOWN_MAX],
            drifts_standing=sum(1 for each in drifts if each.ended_at is None),
            chart=_chart(outcomes, found["connections"]),
            may_pause=visitor.may(ROLES_THAT_PAUSE),
            may_propose=visitor.may(ROLES_THAT_APPROVE),
            stops=stops,
            **found,
        )

    @pages.get("/connections.xlsx")
    def file(visitor: Annotated[Visitor, Depends(door.visitor)]) -> Response:
        with door.sight_of(visitor) as connection:
            found = _find(connection)
        return renderer.file(
            visitor,
            name="connections",
            title="Can we trust the plumbing now?",
            filters={},
            sheets=connection_sheets(**found),
        )

    def _find(connection: Connection[Row]) -> dict[str, Any]:
        outlook = read_outlook(connection, systems=system.systems)
        links = read_links(connection, systems=system.systems)
        return {
            "connections": [
                _health(row, outlook=outlook, now=renderer.now) for row in _read(connection)
            ],
            "checks": list_results(connection),
            "drifts": [_refused_change(each, links) for each in list_drifts(connection)],
            "workers": _read_workers(connection),
        }

    @pages.post("/connections/stops/{stop_id}/lift")
    def lift(
        stop_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "propose that posting go on")
        with door.sight_of(visitor) as connection:
            try:
                propose_lift(
                    connection,
                    stop_id=stop_id,
                    reason=reason,
                    by=visitor.login,
                    through="",
                    now=renderer.now,
                )
            except LookupError as error:
                raise not_found(
                    "Nothing is stopped under this address, or it is not yours to see."
                ) from error
        return back_to("/connections", done="proposed")

    @pages.post("/connections/{connection_key}/pause")
    def pause(
        connection_key: str,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
    ) -> Response:
        _switch(visitor, connection_key, is_paused=True, reason=reason)
        return back_to("/connections", done="paused")

    @pages.post("/connections/{connection_key}/resume")
    def resume(
        connection_key: str,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
    ) -> Response:
        _switch(visitor, connection_key, is_paused=False, reason=reason)
        return back_to("/connections", done="resumed")

    def _switch(visitor: Visitor, connection_key: str, *, is_paused: bool, reason: str) -> None:
        visitor.must(ROLES_THAT_PAUSE, "pause connections")
        with door.sight_of(visitor) as connection:
            try:
                is_changed = set_paused(
                    connection,
                    connection_key=connection_key,
                    is_paused=is_paused,
                    by=visitor.login,
                    reason=reason,
                    now=renderer.now,
                )
            except LookupError as error:
                raise not_found("No connection has this name.") from error
        if not is_changed:
            state = "paused" if is_paused else "running"
            raise UserMistake(f"{connection_key} is already {state}")


def _refused_change(drift: StandingDrift, links: Links) -> RefusedChange:
    owner = (
        words.system_name(drift.owner_system)
        if drift.owner_system
        else words.spoken(drift.owner_kind, words.KINDS)
    )
    return RefusedChange(
        name=drift.name or str(drift.our_id),
        field=words.spoken(drift.field, words.FIELDS),
        owner=owner,
        owner_link=_link(links, drift.owner_key, drift.noun, drift.owner_ref),
        writer=words.system_name(drift.writer_system or drift.written_by),
        writer_link=_link(links, drift.written_by, drift.noun, drift.writer_ref),
        since=drift.since,
        ended_at=drift.ended_at,
    )


def _link(links: Links, key: str | None, noun: str, source_ref: str | None) -> str | None:
    if key is None or source_ref is None:
        return None
    return links.written(connection_key=key, noun=noun, target_code=source_ref)


def _read(connection: Connection[Row]) -> list[Row]:
    return connection.execute(
        """
        SELECT c.connection_key, c.system, c.kind, c.mode, c.paused,
               (SELECT count(*)::int FROM outbox o
                WHERE o.connection_key = c.connection_key AND o.state = 'failed') AS refused_events,
               coalesce((c.config ->> 'poll_seconds')::int, %s) AS poll_seconds,
               s.read_at, s.errors, b.breaker,
               b.open_until > clock_timestamp() AS is_open,
               b.paused_until > clock_timestamp() AS is_deferred
        FROM connection c
        LEFT JOIN connection_budget b USING (connection_key)
        LEFT JOIN page_freshness() s USING (connection_key)
        ORDER BY c.connection_key
        """,
        (_POLL_SECONDS_DEFAULT,),
    ).fetchall()


def _health(row: Row, *, outlook: Outlook, now: datetime) -> Health:
    waiting = outlook.waiting(row["connection_key"])
    lag = None if row["read_at"] is None else max(0, int((now - row["read_at"]).total_seconds()))
    says, is_good = _says(row, lag)
    return Health(
        connection_key=row["connection_key"],
        system=words.system_name(row["system"]),
        mode=words.spoken(row["mode"], words.MODES),
        is_paused=row["paused"],
        is_good=is_good,
        says=says,
        lag_seconds=lag,
        read_at=row["read_at"],
        limits=tuple(outlook.limits.get(row["connection_key"], ())),
        forecast=outlook.forecast(row["connection_key"], items=waiting, now=now)
        if waiting
        else None,
        problems=tuple(words.said(error) for error in row["errors"] or ()),
    )


def _says(row: Row, lag: int | None) -> tuple[str, bool]:
    if row["paused"]:
        return "Paused by us", False
    if row["is_deferred"]:
        return "Asked us to wait a moment", True
    if row["is_open"]:
        return "Does not answer; we ask again by ourselves", False
    if row["errors"]:
        return "Answers with errors", False
    if row["kind"] == "events":
        return _says_of_a_receiver(row)
    if row["kind"] == "channel":
        return ("Brings messages" if row["mode"] == "act" else "Brings nothing until it acts"), True
    if lag is None:
        return "Not read yet", False
    if lag > row["poll_seconds"] * _STALE_AFTER_POLLS:
        return "Not read for longer than it should be", False
    return "Answers", True


def _says_of_a_receiver(row: Row) -> tuple[str, bool]:
    if row["refused_events"]:
        return "Refuses events of ours", False
    return ("Hears what happens" if row["mode"] == "act" else "Hears nothing until it acts"), True


def _read_workers(connection: Connection[Row]) -> list[Row]:
    return connection.execute(
        "SELECT executor_id, host, version, started_at,"
        " extract(epoch FROM clock_timestamp() - heartbeat_at)::int AS silent_seconds,"
        " lease_until > clock_timestamp() AS is_alive"
        " FROM executor WHERE state = 'alive' ORDER BY started_at"
    ).fetchall()


def _read_outcomes(connection: Connection[Row]) -> list[Row]:
    return connection.execute(
        """
        SELECT connection_key, outcome, count AS calls FROM outcome_count
        WHERE operation = 'call' AND outcome <> 'answered'
        UNION ALL
        SELECT b.connection_key, 'answered', greatest(0, b.granted - coalesce((
            SELECT sum(o.count) FROM outcome_count o WHERE o.connection_key = b.connection_key
              AND o.operation = 'call' AND o.outcome <> 'answered'), 0))::bigint
        FROM connection_budget b
        """
    ).fetchall()


def _read_failed(connection: Connection[Row]) -> int:
    row = connection.execute(
        "SELECT count(*)::int AS items FROM work_item WHERE state = 'failed'"
    ).fetchone()
    assert row is not None
    return int(row["items"])


def _chart(outcomes: Sequence[Row], connections: Sequence[Health]) -> dict[str, Any]:
    calls = {(row["connection_key"], row["outcome"]): row["calls"] for row in outcomes}
    keys = [each.connection_key for each in connections]
    return {
        "kind": "stacked_bars",
        "unit": "calls",
        "categories": keys,
        "series": [
            {
                "name": name,
                "place": outcome,
                "counts": [calls.get((key, outcome), 0) for key in keys],
            }
            for outcome, name in _OUTCOMES.items()
        ],
    }
