"""Write notices: one row per message, recipient and channel, in the transaction of what it tells."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance.tokens import token_hash
from tieline.notices.acknowledging import link_token
from tieline.notices.recipients import Reached
from tieline.runtime.sql import load

NOTICES_PAGE_MAX = 500
NOBODY = "notice.nobody_to_tell"
_WRITE = load("tieline.notices", "write_notice")
_SUPERSEDE = load("tieline.notices", "supersede_notices")
_LIST = load("tieline.notices", "list_notices")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one owner is told on one occasion, and which of their cases it speaks of.

    After ``useful_until`` it is not sent any more.
    """

    kind: str
    occasion: str
    owner: str
    is_urgent: bool
    entity_code: str | None
    period_id: UUID | None
    case_ids: tuple[UUID, ...]
    covers_waiting: bool
    subject: str
    body: str
    due_at: datetime | None
    useful_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenNotice:
    """A notice as it stands; without a channel nobody could be told."""

    notice_key: UUID
    kind: str
    occasion: str
    owner: str
    recipient: str
    connection_key: str | None
    subject: str
    cases: int
    due_at: datetime | None
    written_at: datetime
    state: str
    attempts: int
    last_error: str | None
    sent_at: datetime | None
    acknowledged_at: datetime | None


def begin_round(connection: Connection[Row], *, occasion: str, now: datetime) -> bool:
    """Say that an occasion is being told of; False when it was, or another worker just did."""
    return (
        connection.execute(
            "INSERT INTO notice_round (occasion, told_at) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (occasion, now),
        ).rowcount
        == 1
    )


def write_notices(
    connection: Connection[Row],
    *,
    message: Message,
    reached: Sequence[Reached],
    link_key: bytes,
    pepper: bytes,
    now: datetime,
) -> list[UUID]:
    """Write a message once for each place where its owner is reached; return what is to be sent.

    What was not sent of the same kind about the same cut-off before is replaced by it.
    """
    places = reached or (Reached(recipient=message.owner, connection_key="", urgent_only=False),)
    written = []
    for place in places:
        notice_key = _key(message, place, link_key=link_key)
        values = {
            **{name: getattr(message, name) for name in Message.__dataclass_fields__},
            "case_ids": list(message.case_ids),
            "notice_key": notice_key,
            "recipient": place.recipient,
            "connection_key": place.connection_key or None,
            "state": "waiting" if place.connection_key else "failed",
            "last_error": None if place.connection_key else NOBODY,
            "link_hash": token_hash(link_token(notice_key, link_key=link_key), pepper=pepper),
            "now": now,
        }
        connection.execute(_SUPERSEDE, values)
        if connection.execute(_WRITE, values).rowcount and place.connection_key:
            written.append(notice_key)
    return written


def list_notices(
    connection: Connection[Row], *, owner: str | None = None, limit: int = 100
) -> tuple[WrittenNotice, ...]:
    """List what was written, the newest first."""
    rows = connection.execute(
        _LIST, {"owner": owner, "limit": min(limit, NOTICES_PAGE_MAX)}
    ).fetchall()
    return tuple(WrittenNotice(**row) for row in rows)


def _key(message: Message, place: Reached, *, link_key: bytes) -> UUID:
    # Known again after a restore that forgot that it was told; another installation has other keys.
    said = "|".join(("notice", message.occasion, message.owner, place.connection_key))
    return UUID(bytes=hmac.digest(link_key, said.encode(), hashlib.sha256)[:16], version=5)
