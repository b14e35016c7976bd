"""The effect row: planned, reserved, moved along allowed edges only (the database holds them)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.kernel.errors import LeaseLost
from tieline.kernel.keys import SourceIdentity, business_key
from tieline.posting.outcomes import EffectRequest
from tieline.runtime.budget import REST_SECONDS

PLANNED = "PLANNED"
INTENT = "INTENT"
CONFIRMED = "CONFIRMED"
REJECTED = "REJECTED"
UNKNOWN = "UNKNOWN"
PROBING = "PROBING"
ABSENT = "ABSENT"
CONFLICT = "CONFLICT"
WITHDRAWN = "WITHDRAWN"
HANDED_OVER = "HANDED_OVER"
# From these a write may be reserved without asking the target first.
SENDABLE = (PLANNED, ABSENT, REJECTED)

Row = dict[str, Any]
SETTLE_SECONDS_DEFAULT = 120
# A row while nothing may be planned or sent: a backup was restored, and not every target was asked.
_SHUT = "SELECT FROM restoration WHERE phase IN ('reading', 'asking')"
_PLAN = """
    INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref, target_connection, noun, part,
        effect_no, kind, entity_code, project_id, work_class, deadline_at, release_id, correlation_id, planned_at)
    SELECT tieline.business_key(i.connection_key, i.source_epoch, i.object, i.source_ref, i.target_connection, i.noun,
               i.part, i.effect_no),
        i.*, 'write', %(entity_code)s, %(project_id)s, %(work_class)s, %(deadline_at)s, %(release_id)s,
        %(correlation_id)s, %(now)s
    FROM (SELECT %(connection_key)s::text AS connection_key, %(source_epoch)s::integer AS source_epoch,
                 %(object)s::text AS object, %(source_ref)s::text AS source_ref, %(target)s::text AS target_connection,
                 %(noun)s::text AS noun, %(part)s::text AS part, {effect_no} AS effect_no) i
"""
_OF_EVENT = """
    (e.connection_key, e.source_epoch, e.object, e.source_ref, e.target_connection, e.noun, e.part)
        = (%(connection_key)s, %(source_epoch)s, %(object)s, %(source_ref)s, %(target)s, %(noun)s, %(part)s)
"""
_OPEN = "SELECT FROM connection WHERE connection_key = %(target)s AND mode = 'act' AND NOT paused FOR SHARE"
_FIND_OR_PLAN = f"""
    WITH open AS MATERIALIZED ({_OPEN}), standing AS MATERIALIZED (
        SELECT e.* FROM effect e
        WHERE {_OF_EVENT} AND e.kind = 'write' AND e.state <> 'WITHDRAWN'
          AND NOT EXISTS (SELECT FROM effect v WHERE v.undoes_key = e.business_key
                          AND v.kind = 'void' AND v.state = 'CONFIRMED')
        ORDER BY e.effect_no DESC LIMIT 1
    ), planned AS (
        {_PLAN.format(effect_no=f"(SELECT coalesce(max(e.effect_no), 0) + 1 FROM effect e WHERE {_OF_EVENT})")}
        WHERE NOT EXISTS (SELECT FROM standing)
        ON CONFLICT DO NOTHING RETURNING *
    )
    SELECT f.*, EXISTS (SELECT FROM restoration WHERE phase <> 'over') AS is_restoring,
           EXISTS (SELECT FROM open) AND NOT EXISTS ({_SHUT}) AS acts,
           coalesce(({REST_SECONDS}), 0) AS rest_seconds
    FROM (SELECT * FROM standing UNION ALL SELECT * FROM planned) f
"""
_KEEP_CONTENT = """
    INSERT INTO effect_payload (business_key, content)
    SELECT %(key)s, %(content)s::jsonb WHERE %(content)s::jsonb IS NOT NULL
    ON CONFLICT (business_key) DO UPDATE SET content = excluded.content
"""


def get_effect(connection: Connection[Row], *, business_key: UUID) -> Row:
    """Return one effect.

    :raises LookupError: there is none under the key.
    """
    row = connection.execute(
        "SELECT * FROM effect WHERE business_key = %s", (business_key,)
    ).fetchone()
    if row is None:
        raise LookupError(f"no effect stands under {business_key}")
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The write that stands, is under way or was planned just now for an event, and what keeps it from going.

    ``is_restoring`` says that a restored backup is being followed up; ``rest_seconds`` are those in which nobody may
    call its target at all, and ``acts`` whether it may be written to: pausing it waits for this transaction.
    """

    effect: Row
    is_restoring: bool
    acts: bool
    rest_seconds: int


def find_or_plan(
    connection: Connection[Row],
    *,
    request: EffectRequest,
    now: datetime,
    lease_at: datetime | None,
) -> Found:
    """Return how the write of an event stands; where there is none, it is planned under the next number.

    ``lease_at`` is the instant by which calls are granted, None for the database's.
    """
    values, row = {**_values(request), "now": now, "lease_at": lease_at}, None
    while row is None:
        # Nothing comes back where a twin planned it at the same moment: the next look sees that one.
        row = connection.execute(_FIND_OR_PLAN, values).fetchone()
    return Found(
        is_restoring=bool(row.pop("is_restoring")),
        acts=bool(row.pop("acts")),
        rest_seconds=int(row.pop("rest_seconds")),
        effect=row,
    )


def plan_write(
    connection: Connection[Row], *, request: EffectRequest, effect_no: int, now: datetime
) -> None:
    """Insert a PLANNED effect under a number of its part, unless it stands."""
    connection.execute(
        _PLAN.format(effect_no="%(effect_no)s::integer") + " ON CONFLICT DO NOTHING",
        {**_values(request), "effect_no": effect_no, "now": now},
    )


def find_void(connection: Connection[Row], *, undoes_key: UUID) -> Row | None:
    """Return the undoing of an effect, planned or done, or None."""
    return connection.execute(
        "SELECT * FROM effect WHERE undoes_key = %s AND kind = 'void' AND state <> 'WITHDRAWN'",
        (undoes_key,),
    ).fetchone()


def plan_void(connection: Connection[Row], *, original: Row, now: datetime) -> Row:
    """Insert the PLANNED undoing of a confirmed effect under the next number of its part."""
    source = SourceIdentity(
        connection_key=original["connection_key"],
        source_epoch=original["source_epoch"],
        object=original["object"],
        source_ref=original["source_ref"],
    )
    newest = connection.execute(
        """
        SELECT max(effect_no) AS effect_no FROM effect
        WHERE (connection_key, source_epoch, object, source_ref, target_connection, noun, part)
            = (%(connection_key)s, %(source_epoch)s, %(object)s, %(source_ref)s,
               %(target_connection)s, %(noun)s, %(part)s)
        """,
        original,
    ).fetchone()
    assert newest is not None
    effect_no = int(newest["effect_no"]) + 1
    key = business_key(
        source=source,
        target_connection=original["target_connection"],
        noun=original["noun"],
        part=original["part"],
        effect_no=effect_no,
    )
    connection.execute(
        """
        INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref,
            target_connection, noun, part, effect_no, kind, undoes_key, entity_code, project_id,
            work_class, deadline_at, release_id, correlation_id, planned_at)
        SELECT %s, connection_key, source_epoch, object, source_ref, target_connection, noun, part,
            %s, 'void', business_key, entity_code, project_id, work_class, deadline_at, release_id,
            correlation_id, %s
        FROM effect WHERE business_key = %s
        """,
        (key, effect_no, now, original["business_key"]),
    )
    return get_effect(connection, business_key=key)


def withdraw_voids(connection: Connection[Row], *, undoes_keys: Sequence[UUID]) -> None:
    """Let writes stand whose undoing was refused, now that they are wanted again."""
    if not undoes_keys:
        return
    connection.execute(
        """
        UPDATE effect SET state = 'WITHDRAWN', reason = NULL
        WHERE undoes_key = ANY (%s) AND kind = 'void' AND state IN ('PLANNED', 'REJECTED')
        """,
        (list(undoes_keys),),
    )


# How soon a write is tried again whose target is paused or only observed.
SHUT_SECONDS = 15


def acts(connection: Connection[Row], *, target_connection: str) -> bool:
    """Say whether a target may be written to; pausing it waits for this transaction."""
    row = connection.execute(
        f"""
        WITH open AS MATERIALIZED ({_OPEN})
        SELECT EXISTS (SELECT FROM open) AND NOT EXISTS ({_SHUT}) AS acts
        """,
        {"target": target_connection},
    ).fetchone()
    assert row is not None
    return bool(row["acts"])


def is_shut(connection: Connection[Row]) -> bool:
    """Say whether nothing may be planned or sent: a backup was restored, and not every target was asked."""
    return connection.execute(_SHUT).fetchone() is not None


def to_intent(
    connection: Connection[Row],
    *,
    business_key: UUID,
    payload_hash: str,
    content: Mapping[str, str] | None = None,
    was: str = REJECTED,
) -> int:
    """Commit to send: from PLANNED, ABSENT or, as which it may be taken, a rejection that is tried again.

    Returns the number of the attempt, the epoch under which its outcome is recorded. ``content`` is kept with it.
    """
    if was == REJECTED:
        connection.execute(
            "UPDATE effect SET state = 'PLANNED' WHERE business_key = %s AND state = 'REJECTED'",
            (business_key,),
        )
    row = connection.execute(
        f"""
        WITH kept AS ({_KEEP_CONTENT})
        UPDATE effect SET state = 'INTENT', attempt = attempt + 1, payload_hash = %(hash)s,
            sent_at = clock_timestamp(), due_at = NULL, reason = NULL
        WHERE business_key = %(key)s RETURNING attempt
        """,
        {
            "key": business_key,
            "hash": payload_hash,
            "content": None if content is None else Jsonb(dict(content)),
        },
    ).fetchone()
    if row is None:
        raise LookupError(f"no effect stands under {business_key}")
    return int(row["attempt"])


def keep_content(
    connection: Connection[Row], *, business_key: UUID, content: Mapping[str, str]
) -> None:
    """Keep what is sent, to be compared with what stands."""
    connection.execute(_KEEP_CONTENT, {"key": business_key, "content": Jsonb(dict(content))})


def is_being_written(
    connection: Connection[Row],
    *,
    business_key: UUID,
    target_connection: str,
    noun: str,
    field: str,
    value: str,
) -> bool:
    """Say whether another effect is making the record with this value, which both would share.

    Holds the value until the transaction ends, so that of two that ask at once one waits. Where a write of
    the value was confirmed before, the record stands: whoever writes now finds it.
    """
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
        ("|".join((target_connection, noun, value)),),
    )
    row = connection.execute(
        """
        SELECT 1 FROM open_effect e JOIN effect_payload p USING (business_key)
        WHERE e.target_connection = %s AND e.noun = %s AND e.business_key <> %s
          AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'ABSENT') AND p.content ->> %s = %s
        LIMIT 1
        """,
        (target_connection, noun, business_key, field, value),
    ).fetchone()
    return row is not None and not _stands(
        connection, target_connection=target_connection, noun=noun, field=field, value=value
    )


def _stands(
    connection: Connection[Row], *, target_connection: str, noun: str, field: str, value: str
) -> bool:
    """Say whether a write of this value was confirmed, so that the record that several share is there."""
    row = connection.execute(
        """
        SELECT 1 FROM effect_payload p JOIN effect e USING (business_key)
        WHERE p.content ->> %s = %s AND e.state = 'CONFIRMED' AND e.kind = 'write'
          AND e.target_connection = %s AND e.noun = %s
        LIMIT 1
        """,
        (field, value, target_connection, noun),
    ).fetchone()
    return row is not None


def move(
    connection: Connection[Row],
    *,
    business_key: UUID,
    to: str,
    target_code: str | None = None,
    reason: str | None = None,
    due_in_seconds: int = 0,
) -> None:
    """Move one effect along an edge; due instants are lease time, on the database's clock."""
    connection.execute(
        """
        UPDATE effect SET state = %s, target_code = coalesce(%s, target_code), reason = %s,
            due_at = CASE WHEN %s > 0 THEN clock_timestamp() + make_interval(secs => %s) END,
            settled_at = CASE WHEN %s IN ('CONFIRMED', 'REJECTED', 'CONFLICT')
                              THEN clock_timestamp() ELSE settled_at END
        WHERE business_key = %s AND state <> %s
        """,
        (to, target_code, reason, due_in_seconds, due_in_seconds, to, business_key, to),
    )


def settle_attempt(
    connection: Connection[Row],
    *,
    business_key: UUID,
    attempt: int,
    to: str,
    reason: str | None = None,
    due_in_seconds: int = 0,
) -> None:
    """Move an effect on from the INTENT of one attempt, and of no later one.

    :raises LeaseLost: another run took it over while this one was away.
    """
    row = connection.execute(
        "SELECT 1 FROM effect WHERE business_key = %s AND state = 'INTENT' AND attempt = %s"
        " FOR UPDATE",
        (business_key, attempt),
    ).fetchone()
    if row is None:
        raise LeaseLost(f"attempt {attempt} at {business_key} was taken over by another run")
    move(
        connection,
        business_key=business_key,
        to=to,
        reason=reason,
        due_in_seconds=due_in_seconds,
    )


def to_conflict(connection: Connection[Row], *, business_key: UUID, reason: str) -> None:
    """Leave an effect to a person, by the edges that lead there."""
    state = get_effect(connection, business_key=business_key)["state"]
    if state == INTENT:
        move(connection, business_key=business_key, to=UNKNOWN)
    if state in (INTENT, UNKNOWN):
        move(connection, business_key=business_key, to=PROBING)
    move(connection, business_key=business_key, to=CONFLICT, reason=reason)


def seconds_until_due(connection: Connection[Row], *, business_key: UUID) -> int:
    """Return the whole seconds an effect still waits, 0 when it may go on."""
    row = connection.execute(
        """
        SELECT greatest(0, ceil(extract(epoch FROM due_at - clock_timestamp())))::int AS seconds
        FROM effect WHERE business_key = %s
        """,
        (business_key,),
    ).fetchone()
    return int(row["seconds"] or 0) if row else 0


def settle_seconds(connection: Connection[Row], *, connection_key: str, declared: int) -> int:
    """Return how long an unanswered write of a connection may still commit."""
    row = connection.execute(
        "SELECT settle_seconds FROM connection WHERE connection_key = %s", (connection_key,)
    ).fetchone()
    if row and row["settle_seconds"] is not None:
        return int(row["settle_seconds"])
    return declared or SETTLE_SECONDS_DEFAULT


def _values(request: EffectRequest) -> Row:
    source = request.source
    return {
        "connection_key": source.connection_key,
        "source_epoch": source.source_epoch,
        "object": source.object,
        "source_ref": source.source_ref,
        "target": request.target_connection,
        "noun": request.noun,
        "part": request.part,
        "entity_code": request.entity_code,
        "project_id": request.project_id,
        "work_class": request.work_class,
        "deadline_at": request.deadline_at,
        "release_id": request.release_id,
        "correlation_id": request.correlation_id,
    }
