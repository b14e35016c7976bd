"""Tell the systems that want to hear it what happened in the business: CloudEvents, in order per thing.

Pattern: scheduled, one worker at a time. Target: within seconds. Vendor calls: one per event and receiver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import structlog
from psycopg import Connection

from tieline.casework import keep_cases
from tieline.governance import record_audit
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import LeaseLost, TielineError
from tieline.runtime.budget import repeated_calls
from tieline.runtime.database import Database
from tieline.runtime.outbox import Event, drain, send_again
from tieline.sdk import HearsEvents
from tieline.sdk.directory import Connectors

NOT_HEARD = "event.not_heard"
_SOURCE = "tieline"
_WAITING_SECONDS = 3600
_MEMBERS_MAX = 200

_log = structlog.get_logger("tieline.telling")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Deliver events to the connections of the kind ``events``."""

    database: Database
    connectors: Connectors
    clock: Clock

    def tell(self) -> int:
        """Deliver what is due to every receiver that can be called; return how many events went out."""
        with self.database.transaction() as connection:
            receivers = _callable(connection)
        sent = sum(
            self._tell(row["connection_key"], is_repeat=row["is_repeat"]) for row in receivers
        )
        with self.database.transaction() as connection:
            keep_cases(
                connection,
                requests=_unheard(connection),
                reasons=(NOT_HEARD,),
                now=self.clock.now(),
                correlation_id="telling",
            )
        return sent

    def _tell(self, connection_key: str, *, is_repeat: bool) -> int:
        receiver = cast(HearsEvents, self.connectors.get(connection_key=connection_key))
        sent = 0

        def deliver(event: Event) -> None:
            nonlocal sent
            receiver.tell(event_id=str(event.event_uuid), event=as_cloud_event(event))
            sent += 1

        try:
            with repeated_calls(is_repeat=is_repeat):
                drain(self.database, connection_key=connection_key, deliver=deliver)
        except LeaseLost:
            raise
        except TielineError as error:
            _log.info("event.put_off", connection_key=connection_key, why=str(error))
        return sent


def tell_again(
    connection: Connection[Row], *, connection_key: str | None, by: str, now: datetime
) -> int:
    """Queue anew what was given up for one connection, or for all; return how many events."""
    queued = send_again(connection, connection_key=connection_key)
    if queued:
        record_audit(
            connection,
            now=now,
            actor=by,
            action="events.sent_again",
            object=f"connection:{connection_key or 'all'}",
            entity_code=None,
            reason="the receiver was mended",
            data={"events": queued},
        )
    return queued


def as_cloud_event(event: Event) -> Mapping[str, Any]:
    """Return the event as CloudEvents 1.0 writes it, with our own instant and correlation beside."""
    told = {
        "specversion": "1.0",
        "id": str(event.event_uuid),
        "source": _SOURCE,
        "type": event.type,
        "subject": f"{event.subject_kind}:{event.subject_id}",
        "time": event.occurred_at.isoformat(),
        "recordedtime": event.recorded_at.isoformat(),
        "correlationid": event.correlation_id,
        "datacontenttype": "application/json",
        "data": dict(event.data),
    }
    return told if event.entity_code is None else {**told, "legalentity": event.entity_code}


def _callable(connection: Connection[Row]) -> Sequence[Row]:
    return connection.execute(
        """
        SELECT c.connection_key,
               EXISTS (SELECT FROM outbox o WHERE o.connection_key = c.connection_key
                       AND o.state = 'waiting' AND o.attempts > 0 AND o.due_at <= clock_timestamp()) AS is_repeat
        FROM connection c
        LEFT JOIN connection_budget b USING (connection_key)
        WHERE c.kind = 'events' AND c.mode = 'act' AND NOT c.paused
          AND EXISTS (SELECT FROM outbox o WHERE o.connection_key = c.connection_key
                      AND o.state = 'waiting' AND o.due_at <= clock_timestamp())
          AND (b.connection_key IS NULL OR greatest(b.paused_until, b.open_until) <= clock_timestamp())
        ORDER BY c.connection_key
        """
    ).fetchall()


def _unheard(connection: Connection[Row]) -> Sequence[CaseRequest]:
    rows = connection.execute(
        """
        SELECT o.connection_key, count(*)::integer AS events,
               count(*) FILTER (WHERE o.state = 'failed')::integer AS failed,
               (array_agg(DISTINCT o.last_error) FILTER (WHERE o.last_error IS NOT NULL)) AS errors,
               (array_agg(e.type || ' ' || e.event_uuid ORDER BY e.event_id))[:%(members_max)s] AS members
        FROM outbox o JOIN event e USING (event_id)
        JOIN connection c ON c.connection_key = o.connection_key AND c.mode = 'act' AND NOT c.paused
        WHERE o.state = 'failed'
           OR (o.state = 'waiting' AND o.last_error IS NOT NULL
               AND o.queued_at < clock_timestamp() - make_interval(secs => %(seconds)s))
        GROUP BY o.connection_key ORDER BY o.connection_key
        """,
        {"members_max": _MEMBERS_MAX, "seconds": _WAITING_SECONDS},
    ).fetchall()
    return [_case(row) for row in rows]


def _case(row: Row) -> CaseRequest:
    key = row["connection_key"]
    return CaseRequest(
        reason=NOT_HEARD,
        owner_queue="integration",
        thing_kind="connection",
        thing_key=key,
        entity_code=None,
        members=tuple(CaseMember(kind="event", key=member) for member in row["members"]),
        details={
            "problem": f"{key} has not taken {row['events']} events, {row['failed']} of them for good"
            f" ({', '.join(row['errors'] or ())})",
            "fix": f"Mend the receiver, then queue them anew: tieline events {key} --send-again",
        },
        is_incident=True,
    )
