"""Business events: written in the transaction that made them true, delivered afterwards in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.kernel.errors import LeaseLost, Refused, TielineError
from tieline.runtime.database import Database, Row
from tieline.runtime.sql import load

_NEXT = load("tieline.runtime", "next_events")
_RECEIVERS = load("tieline.runtime", "list_receivers")
_PUBLISH_ALL = load("tieline.runtime", "publish_all")
_SENT = """
    UPDATE outbox SET state = 'sent', sent_at = clock_timestamp(), last_error = NULL
    WHERE outbox_id = %(id)s
"""
# Nothing is held against an event that could not be brought; the breaker slows the connection down.
_PUT_OFF = """
    UPDATE outbox SET last_error = %(error)s,
        due_at = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE outbox_id = %(id)s AND state = 'waiting'
"""
# What the receiver refuses wears out, each time after twice as long.
_REFUSED = """
    UPDATE outbox SET last_error = %(error)s, attempts = attempts + 1,
        state = CASE WHEN attempts + 1 >= %(attempts_max)s THEN 'failed' ELSE 'waiting' END,
        due_at = clock_timestamp() + make_interval(secs => least(%(seconds_max)s, power(2, attempts)))
    WHERE outbox_id = %(id)s AND state = 'waiting'
"""
# Longer than any call may take.
_LEASE_SECONDS = 120
_ATTEMPTS_MAX = 12
_RETRY_SECONDS = 2
_RETRY_SECONDS_MAX = 600
# A slow receiver does not keep the others waiting.
_ROUND_SECONDS = 10
Scalar = str | int | bool | Decimal | UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened in the business: ids, numbers and codes, never names or texts."""

    event_uuid: UUID
    type: str
    subject_kind: str
    subject_id: str
    entity_code: str | None
    occurred_at: datetime
    recorded_at: datetime
    correlation_id: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One of several events of a type that became true together."""

    subject_kind: str
    subject_id: str
    entity_code: str | None
    occurred_at: datetime
    data: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A connection that hears events; ``sent`` counts what is remembered, about a day."""

    connection_key: str
    mode: str
    paused: bool
    waiting: int
    sent: int
    failed: int
    waiting_since: datetime | None
    last_sent_at: datetime | None
    last_error: str | None


Deliver = Callable[[Event], None]


def publish(
    connection: Connection[Row],
    *,
    type: str,
    subject_kind: str,
    subject_id: str,
    entity_code: str | None,
    occurred_at: datetime,
    recorded_at: datetime,
    correlation_id: str,
    data: Mapping[str, Scalar] | None = None,
) -> None:
    """Keep an event for ever and queue it for who hears it, both in the caller's transaction."""
    happened = Happened(
        subject_kind=subject_kind,
        subject_id=subject_id,
        entity_code=entity_code,
        occurred_at=occurred_at,
        data=data or {},
    )
    publish_all(
        connection,
        type=type,
        happened=[happened],
        recorded_at=recorded_at,
        correlation_id=correlation_id,
    )


def publish_all(
    connection: Connection[Row],
    *,
    type: str,
    happened: Sequence[Happened],
    recorded_at: datetime,
    correlation_id: str,
) -> None:
    """Keep several events of one type, and queue them for who hears them, in one statement."""
    if not happened:
        return
    connection.execute(
        _PUBLISH_ALL,
        {
            "type": type,
            "subject_kinds": [each.subject_kind for each in happened],
            "subject_ids": [each.subject_id for each in happened],
            "entity_codes": [each.entity_code for each in happened],
            "occurred_at": [each.occurred_at for each in happened],
            "data": [
                Jsonb({name: _as_json(value) for name, value in each.data.items()})
                for each in happened
            ],
            "recorded_at": recorded_at,
            "correlation_id": correlation_id,
        },
    )


def is_new(connection: Connection[Row], *, connection_key: str, source_event_id: str) -> bool:
    """Note an event that a source sent us; tell whether it is the first time."""
    return (
        connection.execute(
            "INSERT INTO inbox (connection_key, source_event_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (connection_key, source_event_id),
        ).rowcount
        == 1
    )


def drain(database: Database, *, connection_key: str, deliver: Deliver) -> int:
    """Deliver what waits for a connection, in order per aggregate; return how many events went out.

    No transaction is open while an event is on its way. It is marked afterwards, and goes out again
    when its sender died in between, which is why consumers keep an inbox.

    :raises TielineError: the receiver could not be reached or said nothing clear; who is down is not
        asked again for every event that waits.
    """
    sent = 0
    ends_at = time.monotonic() + _ROUND_SECONDS
    while time.monotonic() < ends_at:
        with database.transaction() as connection:
            row = connection.execute(
                _NEXT, {"connection_key": connection_key, "lease_seconds": _LEASE_SECONDS}
            ).fetchone()
        if row is None:
            break
        try:
            deliver(_event(row))
        except Refused as error:
            _note(database, _REFUSED, row, error)
        except LeaseLost:
            raise
        except TielineError as error:
            _note(database, _PUT_OFF, row, error)
            raise
        else:
            with database.transaction() as connection:
                connection.execute(_SENT, {"id": row["outbox_id"]})
            sent += 1
    return sent


def send_again(connection: Connection[Row], *, connection_key: str | None) -> int:
    """Queue anew what was given up, for one connection or all; return how many events."""
    return connection.execute(
        """
        UPDATE outbox SET state = 'waiting', attempts = 0, due_at = clock_timestamp()
        WHERE connection_key = coalesce(%s, connection_key) AND state = 'failed'
        """,
        (connection_key,),
    ).rowcount


def list_receivers(connection: Connection[Row], *, connection_key: str | None) -> list[Receiver]:
    """Return the connections that hear events, with what waits for them; one of them if named."""
    rows = connection.execute(_RECEIVERS, {"connection_key": connection_key}).fetchall()
    return [Receiver(**row) for row in rows]


def _note(database: Database, statement: LiteralString, row: Row, error: TielineError) -> None:
    values = {
        "id": row["outbox_id"],
        "error": error.code,
        "attempts_max": _ATTEMPTS_MAX,
        "seconds_max": _RETRY_SECONDS_MAX,
        "seconds": _RETRY_SECONDS,
    }
    with database.transaction() as connection:
        connection.execute(statement, values)


def _event(row: Row) -> Event:
    return Event(
        event_uuid=row["event_uuid"],
        type=row["type"],
        subject_kind=row["subject_kind"],
        subject_id=row["subject_id"],
        entity_code=row["entity_code"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        correlation_id=row["correlation_id"],
        data=row["data"],
    )


def _as_json(value: Scalar) -> str | int | bool | None:
    return str(value) if isinstance(value, (Decimal, UUID)) else value
