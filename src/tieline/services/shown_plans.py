"""Keep what people were shown, and let only that be applied: hand-overs, changes, alignments.

Pattern: inside the transaction of who shows or applies. Vendor calls: none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row

DIGEST_CHARACTERS_MIN = 8
_DIFFERENCES_TOLD_MAX = 8
_KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPlan:
    """A plan as somebody saw it; ``applied_at`` is None while it waits."""

    shown_id: UUID
    kind: str
    subject: str
    entity_code: str | None
    digest: str
    content: Mapping[str, Any]
    shown_to: str
    shown_at: datetime
    applied_by: str | None
    applied_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which plan a person means: the last one they were shown, or one by its digest or id."""

    digest: str | None = None
    shown_id: UUID | None = None


def digest_of(content: Mapping[str, Any]) -> str:
    """Return SHA-256 over a plan's content; equal digests say the same."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def keep_shown(
    connection: Connection[Row],
    *,
    kind: str,
    subject: str,
    entity_code: str | None,
    content: Mapping[str, Any],
    to: str,
    now: datetime,
) -> ShownPlan:
    """Keep a plan that is about to be shown."""
    row = connection.execute(
        """
        INSERT INTO shown_plan (kind, subject, entity_code, digest, content, shown_to, shown_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (kind, subject, digest) WHERE applied_at IS NULL
        DO UPDATE SET shown_to = excluded.shown_to, shown_at = excluded.shown_at,
            shown_no = nextval('shown_plan_no')
        RETURNING shown_id, kind, subject, entity_code, digest, content, shown_to, shown_at,
            applied_by, applied_at
        """,
        (kind, subject, entity_code, digest_of(content), Jsonb(dict(content)), to, now),
    ).fetchone()
    assert row is not None
    return ShownPlan(**row)


def get_shown(connection: Connection[Row], *, kind: str, subject: str, chosen: Chosen) -> ShownPlan:
    """Return the plan that a person means.

    :raises UserMistake: none was shown, or the words fit none or several.
    """
    if chosen.digest is not None and len(chosen.digest) < DIGEST_CHARACTERS_MIN:
        raise UserMistake(f"a digest is told by {DIGEST_CHARACTERS_MIN} characters at least")
    rows = connection.execute(
        """
        SELECT shown_id, kind, subject, entity_code, digest, content, shown_to, shown_at,
            applied_by, applied_at
        FROM shown_plan
        WHERE kind = %(kind)s AND subject = %(subject)s
          AND (%(digest)s::text IS NULL OR starts_with(digest, %(digest)s))
          AND (%(shown_id)s::uuid IS NULL OR shown_id = %(shown_id)s)
        ORDER BY shown_no DESC
        """,
        {"kind": kind, "subject": subject, "digest": chosen.digest, "shown_id": chosen.shown_id},
    ).fetchall()
    if not rows:
        raise UserMistake(f"no such plan of {subject} was shown: look at it with --plan first")
    if chosen.digest is not None and len({row["digest"] for row in rows}) > 1:
        raise UserMistake(f"{chosen.digest} begins several digests: write more of it")
    return ShownPlan(**rows[0])


def refuse_stale(shown: ShownPlan, *, content: Mapping[str, Any]) -> None:
    """Let only a plan pass that says today what it said when it was shown.

    :raises UserMistake: it is stale; the sentence names what differs.
    """
    if shown.digest == digest_of(content):
        return
    differing = _differences(shown.content, content)
    told = ", ".join(differing[:_DIFFERENCES_TOLD_MAX])
    more = len(differing) - _DIFFERENCES_TOLD_MAX
    told += f" and {more} more" if more > 0 else ""
    raise UserMistake(
        f"the plan {shown.digest[:DIGEST_CHARACTERS_MIN]} of {shown.subject} is stale:"
        f" {told} changed since it was shown; look again"
    )


def note_applied(connection: Connection[Row], *, shown: ShownPlan, by: str, now: datetime) -> None:
    """Note that a plan is carried out."""
    connection.execute(
        "UPDATE shown_plan SET applied_by = %s, applied_at = %s WHERE shown_id = %s",
        (by, now, shown.shown_id),
    )


def forget_unapplied(connection: Connection[Row], *, now: datetime) -> int:
    """Forget plans that nobody applied for a season; return how many."""
    return connection.execute(
        "DELETE FROM shown_plan WHERE applied_at IS NULL AND shown_at < %s", (now - _KEPT,)
    ).rowcount


def _differences(before: Any, after: Any, *, place: str = "") -> list[str]:
    """Return the places where two plans differ, such as ``erp.project.name``."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        if before.get("action") != after.get("action"):
            # What is done there is something else: its fields say no more than that.
            return [f"{place}.action"]
        names = [*before, *(name for name in after if name not in before)]
        return [
            found
            for name in names
            for found in _differences(
                before.get(name), after.get(name), place=f"{place}.{name}" if place else name
            )
        ]
    return [] if before == after else [place]
