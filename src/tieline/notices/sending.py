"""Send a notice as every write is sent: an attempt is noted before the call, its end after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.runtime.sql import load

TOO_LATE = "notice.too_late"
NO_ADDRESS = "notice.no_address"
_BEGIN = load("tieline.notices", "begin_attempt")
_RECEIPT = load("tieline.notices", "note_receipt")
_NOT_SENT = load("tieline.notices", "list_not_sent")
_MEMBERS_MAX = 200
_WAITING_SECONDS = 600

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to send one notice. ``was_lost``: an earlier try ended without anybody noting how.

    Where it may still come about, ``settles_in_seconds`` says how long nothing may be done.
    """

    notice_key: UUID
    kind: str
    recipient: str
    connection_key: str
    can_send: bool
    is_urgent: bool
    entity_code: str | None
    subject: str
    due_at: datetime | None
    useful_until: datetime
    written_at: datetime
    attempts: int
    was_lost: bool
    settles_in_seconds: int
    body: str = field(repr=False)
    address: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """Notices that one channel did not take, or that nobody could be told: the owner stands alone then."""

    connection_key: str | None
    owner: str | None
    notices: int
    members: tuple[str, ...]
    errors: tuple[str, ...]


def purge_notices(connection: Connection[Row], *, before: datetime) -> int:
    """Remove messages that ended before an instant; that an occasion was told of is kept. Return how many."""
    return connection.execute(
        "DELETE FROM notice WHERE written_at < %s AND state IN ('sent', 'failed', 'superseded')",
        (before,),
    ).rowcount


def begin_attempt(connection: Connection[Row], *, notice_key: UUID) -> Attempt | None:
    """Note that a notice is being sent; None when it needs no sending any more.

    Nothing is noted where it cannot be sent: without an address, over a channel that does not act, or
    before an earlier try has settled.
    """
    row = connection.execute(_BEGIN, {"notice_key": notice_key}).fetchone()
    return None if row is None else Attempt(**row)


def begin_again(connection: Connection[Row], *, attempt: Attempt) -> None:
    """Note that what an earlier try left did not arrive, and is being sent anew."""
    connection.execute(
        "UPDATE notice SET begun_at = clock_timestamp() WHERE notice_key = %s AND state = 'sending'",
        (attempt.notice_key,),
    )


def note_receipt(connection: Connection[Row], *, attempt: Attempt, receiver_code: str) -> None:
    """Note that a channel took a notice; what it did not take before of the same is settled."""
    connection.execute(_RECEIPT, {"notice_key": attempt.notice_key, "receiver_code": receiver_code})


def put_off(connection: Connection[Row], *, attempt: Attempt, error: str) -> None:
    """Note that a notice surely was not sent: it waits again."""
    _move(connection, attempt, "waiting", error)


def note_unknown(connection: Connection[Row], *, attempt: Attempt, error: str) -> None:
    """Note that nobody knows whether a notice arrived."""
    _move(connection, attempt, "sending", error)


def give_up(connection: Connection[Row], *, attempt: Attempt, error: str) -> None:
    """Note that a notice is not sent any more: a case says so."""
    _move(connection, attempt, "failed", error)


def send_again(connection: Connection[Row], *, useful_until: datetime) -> list[UUID]:
    """Let everything that was given up wait to be sent anew; return it."""
    rows = connection.execute(
        """
        UPDATE notice SET state = 'waiting', useful_until = greatest(useful_until, %s), attempts = 0
        WHERE state = 'failed' AND connection_key IS NOT NULL RETURNING notice_key
        """,
        (useful_until,),
    ).fetchall()
    return [row["notice_key"] for row in rows]


def list_not_sent(connection: Connection[Row]) -> Sequence[NotSent]:
    """Return what was given up, and what has waited longer than a receiver needs, per channel."""
    rows = connection.execute(
        _NOT_SENT, {"seconds": _WAITING_SECONDS, "members_max": _MEMBERS_MAX}
    ).fetchall()
    return [
        NotSent(**{**row, "members": tuple(row["members"]), "errors": tuple(row["errors"] or ())})
        for row in rows
    ]


def _move(connection: Connection[Row], attempt: Attempt, state: str, error: str) -> None:
    # A newer message may have taken its place meanwhile; what was sent stays sent.
    connection.execute(
        "UPDATE notice SET state = %s, last_error = %s"
        " WHERE notice_key = %s AND state IN ('waiting', 'sending')",
        (state, error, attempt.notice_key),
    )
