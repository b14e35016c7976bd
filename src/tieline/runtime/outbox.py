"""Business events: written in the transaction that made them true, delivered afterwards in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.kernel.errors import TielineError
from tieline.runtime.database import Database, Row
from tieline.runtime.sql import load

_NEXT = load("tieline.runtime", "next_events")
_PUBLISH_ALL = load("tieline.runtime", "publish_all")
_ATTEMPTS_MAX = 12
_RETRY_SECONDS_MAX = 600
_BATCH_MAX = 100
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
) -> int:
    """Keep an event for ever and queue its delivery, both in the caller's transaction."""
    row = connection.execute(
        """
        INSERT INTO event (type, subject_kind, subject_id, entity_code, occurred_at, recorded_at,
                           correlation_id, data)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING event_id
        """,
        (type, subject_kind, subject_id, entity_code, occurred_at, recorded_at, correlation_id,
         Jsonb({name: _as_json(value) for name, value in (data or {}).items()})),
    ).fetchone()  # fmt: skip
    assert row is not None
    connection.execute(
        "INSERT INTO outbox (event_id, aggregate) VALUES (%s, %s)",
        (row["event_id"], f"{subject_kind}:{subject_id}"),
    )
    return int(row["event_id"])


def publish_all(
    connection: Connection[Row],
    *,
    type: str,
    happened: Sequence[Happened],
    recorded_at: datetime,
    correlation_id: str,
) -> int:
    """Keep several events of one type, and queue their delivery, in one statement."""
    if not happened:
        return 0
    return connection.execute(
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
    ).rowcount


def is_new(connection: Connection[Row], *, connection_key: str, source_event_id: str) -> bool:
    """Note an event that a source sent us; tell whether it is the first time."""
    return (
        connection.execute(
            "INSERT INTO inbox (connection_key, source_event_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (connection_key, source_event_id),
        ).rowcount
        == 1
    )


def drain(database: Database, *, deliver: Deliver) -> int:
    """Deliver what waits, in order per aggregate; return how many events went out.

    An event is delivered while its row is locked and marked afterwards: after a crash it goes out
    again, which is why consumers keep an inbox.
    """
    sent = 0
    for _ in range(_BATCH_MAX):
        with database.transaction() as connection:
            row = connection.execute(_NEXT).fetchone()
            if row is None:
                return sent
            sent += _deliver_one(connection, row, deliver)
    return sent


def _deliver_one(connection: Connection[Row], row: Row, deliver: Deliver) -> int:
    try:
        deliver(_event(row))
    except TielineError as error:
        connection.execute(
            """
            UPDATE outbox SET attempts = attempts + 1, last_error = %(code)s,
                state = CASE WHEN attempts + 1 >= %(max)s THEN 'failed' ELSE 'waiting' END,
                due_at = clock_timestamp() + make_interval(secs => least(%(limit)s, power(2, attempts)))
            WHERE outbox_id = %(id)s
            """,
            {
                "code": error.code,
                "max": _ATTEMPTS_MAX,
                "limit": _RETRY_SECONDS_MAX,
                "id": row["outbox_id"],
            },
        )
        return 0
    connection.execute(
        "UPDATE outbox SET state = 'sent', attempts = attempts + 1 WHERE outbox_id = %s",
        (row["outbox_id"],),
    )
    return 1


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
