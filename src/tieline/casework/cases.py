"""Open, list, assign, replay and close single cases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.errors import UserMistake
from tieline.kernel.money import Money
from tieline.runtime.sql import load
from tieline.validation import mark_reference_change

_LIST = load("tieline.casework", "list_cases")
CASES_PAGE_MAX = 500
MEMBERS_PAGE_MAX = 1000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One record that waits; ``basis`` says where its amount comes from."""

    kind: str
    key: str
    entry_id: UUID | None
    seconds: int | None
    amount: Decimal | None
    currency: str | None
    basis: str
    joined_at: datetime
    left_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSummary:
    """One case with its sums; ``amounts`` holds one per currency, the rest is unpriced."""

    case_id: UUID
    reason: str
    owner_queue: str
    thing_kind: str
    thing_key: str
    entity_code: str | None
    state: str
    is_incident: bool
    assigned_to: str | None
    opened_at: datetime
    due_at: datetime | None
    closed_at: datetime | None
    closed_because: str | None
    dismissed_by: str | None
    correlation_id: str
    details: Mapping[str, Any]
    members: int
    seconds: int
    unpriced_seconds: int
    amounts: tuple[Money, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What open cases are about, and what they are worth in one currency (None: unpriced)."""

    reason: str
    owner_queue: str
    currency: str | None
    cases: int
    seconds: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDetail:
    """A case and the records it holds up, at most a page of them."""

    case: CaseSummary
    members: tuple[Member, ...]


def open_case(
    connection: Connection[Row], *, request: CaseRequest, now: datetime, correlation_id: str
) -> UUID:
    """Open a case, or join the open one of the same cause; return its id."""
    row = connection.execute(
        """
        INSERT INTO case_file AS c (reason, owner_queue, thing_kind, thing_key, entity_code,
            is_incident, opened_at, due_at, correlation_id, details)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (reason, owner_queue, thing_kind, thing_key) WHERE state = 'open'
        DO UPDATE SET details = c.details || excluded.details,
            due_at = least(c.due_at, excluded.due_at),
            is_incident = c.is_incident OR excluded.is_incident,
            entity_code = coalesce(c.entity_code, excluded.entity_code)
        RETURNING case_id
        """,
        (
            request.reason,
            request.owner_queue,
            request.thing_kind,
            request.thing_key,
            request.entity_code,
            request.is_incident,
            now,
            request.due_at,
            correlation_id,
            Jsonb(dict(request.details)),
        ),
    ).fetchone()
    assert row is not None
    case_id: UUID = row["case_id"]
    for member in request.members:
        _join(connection, case_id=case_id, member=member, now=now)
    return case_id


def close_case(connection: Connection[Row], *, case_id: UUID, because: str, now: datetime) -> bool:
    """Close an open case whose cause is gone; return whether it was open."""
    connection.execute(
        "UPDATE case_member SET left_at = %s WHERE case_id = %s AND left_at IS NULL",
        (now, case_id),
    )
    closed = connection.execute(
        "UPDATE case_file SET state = 'closed', closed_at = %s, closed_because = %s"
        " WHERE case_id = %s AND state = 'open'",
        (now, because, case_id),
    )
    return closed.rowcount == 1


def close_absent(
    connection: Connection[Row], *, reason: str, still_there: Collection[str], now: datetime
) -> int:
    """Close the open cases of a reason whose thing was not found again; return how many.

    For causes that are computed as a whole, where no member says when it healed.
    """
    healed = connection.execute(
        """
        UPDATE case_file SET state = 'closed', closed_at = %s, closed_because = 'healed'
        WHERE reason = %s AND state = 'open' AND NOT (thing_key = ANY (%s))
        RETURNING case_id
        """,
        (now, reason, list(still_there)),
    ).fetchall()
    connection.execute(
        "UPDATE case_member SET left_at = %s WHERE case_id = ANY (%s) AND left_at IS NULL",
        (now, [row["case_id"] for row in healed]),
    )
    return len(healed)


def keep_cases(
    connection: Connection[Row],
    *,
    requests: Sequence[CaseRequest],
    reasons: Collection[str],
    now: datetime,
    correlation_id: str,
) -> None:
    """Let exactly these cases stand among some reasons: open, join, leave and close.

    What a person dismissed stays dismissed until the request says something else.
    """
    dismissed = _dismissed(connection, reasons)
    for request in requests:
        said = dismissed.get((request.reason, request.thing_kind, request.thing_key))
        if said is not None and said.items() >= dict(request.details).items():
            continue
        case_id = open_case(connection, request=request, now=now, correlation_id=correlation_id)
        _leave(connection, case_id=case_id, members=request.members, now=now)
    # Of a hundred reasons few have a case.
    opened = connection.execute(
        "SELECT DISTINCT reason FROM case_file WHERE state = 'open' AND reason = ANY (%s)",
        (list(reasons),),
    ).fetchall()
    for reason in sorted(row["reason"] for row in opened):
        still_there = [each.thing_key for each in requests if each.reason == reason]
        close_absent(connection, reason=reason, still_there=still_there, now=now)


def list_cases(
    connection: Connection[Row],
    *,
    state: str | None = "open",
    owner_queue: str | None = None,
    reason: str | None = None,
    entity_code: str | None = None,
    assigned_to: str | None = None,
    case_ids: Collection[UUID] | None = None,
    now: datetime | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[CaseSummary, ...]:
    """List cases, incidents first, then by deadline and money; with ``now``, by money x deadline.

    ``assigned_to`` '' asks for those that nobody has taken; ``case_ids`` for these alone.
    """
    rows = connection.execute(
        _LIST,
        {
            "case_ids": None if case_ids is None else list(case_ids),
            "state": state,
            "owner_queue": owner_queue,
            "reason": reason,
            "entity_code": entity_code,
            "assigned_to": assigned_to,
            "now": now,
            "limit": min(limit, CASES_PAGE_MAX),
            "offset": offset,
        },
    ).fetchall()
    return tuple(_summary(row) for row in rows)


def count_open(
    connection: Connection[Row],
    *,
    owner_queue: str | None = None,
    reason: str | None = None,
    entity_code: str | None = None,
    assigned_to: str | None = None,
) -> int:
    """Count open cases, by the same words as they are listed."""
    row = connection.execute(
        """
        SELECT count(*) AS cases FROM case_file
        WHERE state = 'open' AND (%(queue)s::text IS NULL OR owner_queue = %(queue)s)
          AND (%(reason)s::text IS NULL OR reason = %(reason)s)
          AND (%(entity_code)s::text IS NULL OR entity_code = %(entity_code)s)
          AND (%(assigned_to)s::text IS NULL OR coalesce(assigned_to, '') = %(assigned_to)s)
        """,
        {
            "queue": owner_queue,
            "reason": reason,
            "entity_code": entity_code,
            "assigned_to": assigned_to,
        },
    ).fetchone()
    assert row is not None
    return int(row["cases"])


def value_at_risk(connection: Connection[Row]) -> tuple[tuple[Money, ...], int]:
    """Return the money in open cases by currency and the unpriced seconds.

    An hour with two reasons is in two cases and counts once here.
    """
    rows = connection.execute(
        """
        SELECT currency, sum(amount) AS amount, sum(seconds)::bigint AS seconds
        FROM (
            SELECT DISTINCT ON (coalesce(m.entry_id::text, m.member_key)) m.currency, m.amount, m.seconds
            FROM case_member_seen m JOIN case_file c USING (case_id)
            WHERE c.state = 'open' AND m.left_at IS NULL
            ORDER BY coalesce(m.entry_id::text, m.member_key), m.currency NULLS LAST
        ) once
        GROUP BY currency ORDER BY currency
        """
    ).fetchall()
    money = tuple(
        Money(amount=row["amount"], currency=row["currency"]) for row in rows if row["currency"]
    )
    return money, sum(row["seconds"] or 0 for row in rows if row["currency"] is None)


def list_causes(connection: Connection[Row]) -> tuple[Cause, ...]:
    """Sum the open cases by what they are about, the dearest first."""
    rows = connection.execute(
        """
        SELECT c.reason, c.owner_queue, m.currency, count(DISTINCT c.case_id)::int AS cases,
               coalesce(sum(m.seconds), 0)::bigint AS seconds, coalesce(sum(m.amount), 0) AS amount
        FROM case_file c LEFT JOIN case_member_seen m ON m.case_id = c.case_id AND m.left_at IS NULL
        WHERE c.state = 'open'
        GROUP BY 1, 2, 3 ORDER BY amount DESC, seconds DESC, reason
        """
    ).fetchall()
    return tuple(Cause(**row) for row in rows)


def get_case(connection: Connection[Row], *, case_id: UUID) -> CaseDetail:
    """Return one case with its members.

    :raises LookupError: there is none, or it belongs to a legal entity out of sight.
    """
    row = connection.execute(
        _LIST,
        {
            "case_ids": [case_id],
            "state": None,
            "owner_queue": None,
            "reason": None,
            "entity_code": None,
            "assigned_to": None,
            "now": None,
            "limit": 1,
            "offset": 0,
        },
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no case {case_id}")
    members = connection.execute(
        """
        SELECT member_kind, member_key, entry_id, seconds, amount, currency, basis, joined_at, left_at
        FROM case_member_seen WHERE case_id = %s
        ORDER BY left_at NULLS FIRST, amount DESC NULLS LAST, member_key LIMIT %s
        """,
        (case_id, MEMBERS_PAGE_MAX),
    ).fetchall()
    return CaseDetail(case=_summary(row), members=tuple(_member(each) for each in members))


def list_held(
    connection: Connection[Row], *, case_ids: Collection[UUID], limit: int
) -> tuple[UUID, ...]:
    """Return the hours that wait for open cases, each once."""
    rows = connection.execute(
        """
        SELECT DISTINCT m.entry_id FROM case_member m JOIN case_file c USING (case_id)
        WHERE m.case_id = ANY (%s) AND c.state = 'open' AND m.left_at IS NULL AND m.entry_id IS NOT NULL
        ORDER BY m.entry_id LIMIT %s
        """,
        (list(case_ids), limit),
    ).fetchall()
    return tuple(row["entry_id"] for row in rows)


def assign(connection: Connection[Row], *, case_id: UUID, to: str | None) -> None:
    """Give an open case to a person, or to nobody.

    :raises UserMistake: the case is not open.
    """
    _change_open(
        connection, case_id, "UPDATE case_file SET assigned_to = %s WHERE case_id = %s", (to,)
    )


def dismiss(
    connection: Connection[Row], *, case_id: UUID, reason: str, by: str, now: datetime
) -> None:
    """Close a case that needs nothing, with a person's reason.

    :raises UserMistake: it is not open, has no reason, or hours wait for it.
    """
    if not reason.strip():
        raise UserMistake("say why the case needs nothing")
    waiting = connection.execute(
        "SELECT count(*) AS hours FROM case_member"
        " WHERE case_id = %s AND left_at IS NULL AND entry_id IS NOT NULL",
        (case_id,),
    ).fetchone()
    if waiting and waiting["hours"]:
        raise UserMistake(
            f"{waiting['hours']} time entries wait for case {case_id}:"
            " fix their cause, or propose to leave them out"
        )
    _change_open(
        connection,
        case_id,
        "UPDATE case_file SET state = 'dismissed', closed_because = %s, dismissed_by = %s,"
        " closed_at = %s WHERE case_id = %s",
        (reason, by, now),
    )


def fix_and_replay(
    connection: Connection[Row], *, case_id: UUID, by: str, reason: str, now: datetime
) -> int:
    """Judge, read or send every member again after its cause was fixed; return how many.

    :raises UserMistake: the case is not open.
    """
    _change_open(
        connection,
        case_id,
        "UPDATE case_file SET details = details || jsonb_build_object("
        "'replayed_by', %s::text, 'replayed_because', %s::text) WHERE case_id = %s",
        (by, reason),
    )
    row = connection.execute(
        "SELECT tieline.replay_case_members(%s, %s) AS replayed", (case_id, now)
    ).fetchone()
    assert row is not None
    return int(row["replayed"])


def leave_out(
    connection: Connection[Row],
    *,
    case_id: UUID,
    reason: str,
    proposed_by: str,
    approved_by: str,
    now: datetime,
) -> int:
    """Leave out the held hours of a case, after a second person agreed; return how many.

    Their next verdict says excluded, and the case closes itself.

    :raises UserMistake: the case is not open, or one person did both.
    """
    _refuse_one_person(proposed_by, approved_by)
    left_out = connection.execute(
        """
        INSERT INTO exclusion (entry_id, reason, proposed_by, approved_by, recorded_at)
        SELECT DISTINCT m.entry_id, %s, %s, %s, %s::timestamptz FROM case_member m
        WHERE m.case_id = %s AND m.left_at IS NULL AND m.member_kind = 'time_entry'
        ON CONFLICT (entry_id) DO NOTHING
        """,
        (reason, proposed_by, approved_by, now, case_id),
    ).rowcount
    fix_and_replay(connection, case_id=case_id, by=approved_by, reason=reason, now=now)
    return left_out


def leave_out_hours(
    connection: Connection[Row],
    *,
    entry_ids: Sequence[UUID],
    because: str,
    reason: str,
    proposed_by: str,
    approved_by: str,
    correlation_id: str,
    now: datetime,
) -> int:
    """Leave out hours that no case gathers, after a second person agreed; return how many.

    What of them was posted is taken back by their next verdict.

    :raises UserMistake: one person did both.
    """
    _refuse_one_person(proposed_by, approved_by)
    left_out = connection.execute(
        """
        INSERT INTO exclusion (entry_id, reason, proposed_by, approved_by, recorded_at)
        SELECT entry_id, %s, %s, %s, %s FROM unnest(%s::uuid[]) AS e (entry_id)
        ON CONFLICT (entry_id) DO NOTHING
        """,
        (reason, proposed_by, approved_by, now, list(entry_ids)),
    ).rowcount
    mark_reference_change(
        connection,
        keys=[f"entry:{entry_id}" for entry_id in entry_ids],
        because=because,
        correlation_id=correlation_id,
        now=now,
    )
    return left_out


def _refuse_one_person(proposed_by: str, approved_by: str) -> None:
    if proposed_by.casefold() == approved_by.casefold():
        raise UserMistake(f"{proposed_by} proposed to leave hours out and may not approve it")


def _join(connection: Connection[Row], *, case_id: UUID, member: CaseMember, now: datetime) -> None:
    connection.execute(
        """
        INSERT INTO case_member (case_id, member_kind, member_key, entry_id, seconds, amount,
            currency, basis, joined_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (case_id, member_kind, member_key) DO UPDATE SET left_at = NULL,
            seconds = excluded.seconds, amount = excluded.amount, currency = excluded.currency
        """,
        (
            case_id,
            member.kind,
            member.key,
            member.entry_id,
            member.seconds,
            member.amount,
            member.currency,
            "unpriced" if member.amount is None else "price",
            now,
        ),
    )


def _leave(
    connection: Connection[Row], *, case_id: UUID, members: Sequence[CaseMember], now: datetime
) -> None:
    connection.execute(
        """
        UPDATE case_member SET left_at = %s
        WHERE case_id = %s AND left_at IS NULL AND NOT is_synced
          AND (member_kind, member_key) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[]))
        """,
        (now, case_id, [each.kind for each in members], [each.key for each in members]),
    )


def _dismissed(
    connection: Connection[Row], reasons: Collection[str]
) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    rows = connection.execute(
        """
        SELECT DISTINCT ON (reason, thing_kind, thing_key) reason, thing_kind, thing_key, details
        FROM case_file WHERE state = 'dismissed' AND reason = ANY (%s)
        ORDER BY reason, thing_kind, thing_key, closed_at DESC
        """,
        (list(reasons),),
    ).fetchall()
    return {(row["reason"], row["thing_kind"], row["thing_key"]): row["details"] for row in rows}


def _change_open(
    connection: Connection[Row], case_id: UUID, statement: LiteralString, values: tuple[Any, ...]
) -> None:
    changed = connection.execute(statement + " AND state = 'open'", (*values, case_id))
    if changed.rowcount != 1:
        raise UserMistake(f"there is no open case {case_id}")


def _summary(row: Row) -> CaseSummary:
    amounts = tuple(
        Money(amount=Decimal(amount), currency=currency)
        for currency, amount in sorted(row["amounts"].items())
        if amount is not None
    )
    return CaseSummary(
        **{
            name: row[name] for name in CaseSummary.__dataclass_fields__ if name not in ("amounts",)
        },
        amounts=amounts,
    )


def _member(row: Row) -> Member:
    return Member(
        kind=row["member_kind"],
        key=row["member_key"],
        **{name: row[name] for name in Member.__dataclass_fields__ if name not in ("kind", "key")},
    )
