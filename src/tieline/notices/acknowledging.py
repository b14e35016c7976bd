"""Links that say a message was seen: made anew for each sending, kept in the database as a hash only."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import record_audit
from tieline.governance.tokens import token_hash

LINK_PREFIX = "tla"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNotice:
    """The notice that a link belongs to, and what saying so stops: later steps of one cut-off."""

    notice_key: UUID
    recipient: str
    owner: str
    subject: str
    entity_code: str | None
    period_id: UUID | None
    period_code: str | None
    cases: int
    useful_until: datetime
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What an owner has said to know of before one cut-off."""

    case_ids: frozenset[UUID]
    covers_waiting: bool


def link_token(notice_key: UUID, *, link_key: bytes) -> str:
    """Return the secret word of a notice's link: the same one each time it is sent.

    It is computed, so that it need not be kept: the key lives outside the database.
    """
    digest = hmac.digest(link_key, notice_key.bytes, hashlib.sha256)
    return f"{LINK_PREFIX}_{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def find_by_link(
    connection: Connection[Row], *, token: str, pepper: bytes, now: datetime
) -> SeenNotice | None:
    """Return the notice of a link, None once it has ended; nothing is changed."""
    row = connection.execute(
        """
        SELECT n.notice_key, n.recipient, n.owner, n.subject, n.entity_code, n.period_id, f.period_code,
               cardinality(n.case_ids) AS cases, n.useful_until, n.acknowledged_at
        FROM notice n LEFT JOIN fiscal_period f USING (period_id)
        WHERE n.link_hash = %s AND n.useful_until > %s
        """,
        (token_hash(token, pepper=pepper), now),
    ).fetchone()
    return None if row is None else SeenNotice(**row)


def acknowledge(
    connection: Connection[Row], *, token: str, pepper: bytes, now: datetime
) -> SeenNotice | None:
    """Note that a message was seen, once; return its notice, None where the link leads nowhere."""
    found = find_by_link(connection, token=token, pepper=pepper, now=now)
    if found is None:
        return None
    noted = connection.execute(
        "UPDATE notice SET acknowledged_at = %s WHERE notice_key = %s AND acknowledged_at IS NULL",
        (now, found.notice_key),
    )
    if noted.rowcount:
        record_audit(
            connection,
            now=now,
            actor=found.recipient,
            action="notice.acknowledged",
            object=f"notice:{found.notice_key}",
            entity_code=found.entity_code,
            reason="seen, said by the link of the message",
            data={"owner": found.owner, "cases": found.cases},
        )
    return found


def read_acknowledged(connection: Connection[Row], *, period_id: UUID) -> dict[str, Acknowledged]:
    """Return by owner which cases they know of before the cut-off of a period."""
    rows = connection.execute(
        """
        SELECT owner, array_agg(DISTINCT c.case_id) FILTER (WHERE c.case_id IS NOT NULL) AS case_ids,
               bool_or(covers_waiting) AS covers_waiting
        FROM notice LEFT JOIN LATERAL unnest(case_ids) AS c (case_id) ON true
        WHERE period_id = %s AND acknowledged_at IS NOT NULL GROUP BY owner
        """,
        (period_id,),
    ).fetchall()
    return {
        row["owner"]: Acknowledged(
            case_ids=frozenset(row["case_ids"] or ()), covers_waiting=row["covers_waiting"]
        )
        for row in rows
    }
