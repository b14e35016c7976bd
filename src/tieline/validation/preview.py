"""The same engine for hours that are not stored."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.policy import Rule, current_release
from tieline.runtime.database import Row
from tieline.validation.answering import KeptQuestion, answer_rows
from tieline.validation.statement import (
    CANDIDATE_SUBJECT,
    load_rules,
)
from tieline.validation.weighing import DECIDED

# Planning the statement takes some times as long as answering it for a few hours, whatever these are.
_PLANNED_ONCE_MAX = 20
_GIVEN = {
    "known_at": "timestamptz",
    "release_id": "integer",
    "candidates": "jsonb[]",
    "now": "timestamptz",
}
_STORED = """
    SELECT EXISTS (
        SELECT FROM unnest(%(connections)s::text[], %(refs)s::text[]) AS told (connection_key, source_ref)
        CROSS JOIN LATERAL (
            SELECT FROM connection k
            JOIN time_entry h ON h.connection_key = k.connection_key AND h.source_epoch = k.source_epoch
                AND h.object = 'time_entries' AND h.source_ref = told.source_ref
            WHERE k.connection_key = told.connection_key OFFSET 0) h
    ) AS is_stored
"""
# What a verdict shows, and what is weighed and decided to come to it.
_SHOWN = (
    "subject_no", "source_ref", "entity_code", "labor_category", "billed_seconds", "rate_amount", "amount", "currency",
)  # fmt: skip
_COLUMNS = (
    *_SHOWN, "entry_id", "recorded_at", "project_recorded_at", "policy_park_seconds", "at_risk_until", "client_id",
    "contract_id", "work_date", "today_on", "is_deleted", "approval", "is_excluded", "is_counted", "is_leaving",
    "is_posted_unchanged", "standing_count",
)  # fmt: skip
_ASKED = DECIDED + " SELECT " + ", ".join(_SHOWN) + ", outcome, reasons FROM decided"
_QUESTIONS: WeakKeyDictionary[Connection[Row], tuple[int, KeptQuestion, Mapping[str, Rule]]] = (
    WeakKeyDictionary()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An hour as a caller would book it, in the words of a connection.

    What a caller cannot tell is None; ``narrative`` is looked at by rules about texts and kept nowhere.
    """

    connection_key: str
    source_ref: str
    person_ref: str
    project_ref: str | None
    task_ref: str | None
    labor_category: str | None
    work_date: date | None
    seconds: int
    is_billable: bool | None
    is_approved: bool
    narrative_length: int
    narrative: str | None = None
    narrative_hash: bytes | None = None
    approver_ref: str | None = None
    approved_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    created_at: datetime | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A rule that does not hold, and how much that weighs here."""

    code: str
    severity: str
    owner_queue: str
    message: str
    fix_hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewVerdict:
    """What would become of a candidate, and why."""

    source_ref: str
    outcome: str
    entity_code: str | None
    labor_category: str | None
    billed_seconds: int | None
    rate_amount: Decimal | None
    amount: Decimal | None
    currency: str | None
    reasons: tuple[Broken, ...]


def preview(
    connection: Connection[Row], *, entries: Sequence[Candidate], now: datetime
) -> list[PreviewVerdict]:
    """Judge candidates without storing anything; in the order they were given."""
    release_id, question, by_code = _question(connection)
    values: Row = {"known_at": now, "now": now, "release_id": release_id}
    values["candidates"] = [
        Jsonb(_as_json(_as_row(number, entry, now))) for number, entry in enumerate(entries)
    ]
    absent = _absent(connection, entries)
    if len(entries) <= _PLANNED_ONCE_MAX:
        found = question.answer(connection, values=values, absent=absent)
    else:
        found = answer_rows(
            connection,
            subject=question.subject,
            rules=question.rules,
            values=values,
            around=question.around,
            columns=question.columns,
            absent=absent,
        )
    return [_verdict(row, by_code) for row in sorted(found, key=lambda row: int(row["subject_no"]))]


def _question(connection: Connection[Row]) -> tuple[int, KeptQuestion, Mapping[str, Rule]]:
    """Return how the current release is asked; a release never changes, so a session reads each once."""
    release_id = current_release(connection).release_id
    kept = _QUESTIONS.get(connection)
    if kept is None or kept[0] != release_id:
        rules = load_rules(connection, release_id=release_id)
        question = KeptQuestion(
            subject=CANDIDATE_SUBJECT, rules=rules, around=_ASKED, columns=_COLUMNS, given=_GIVEN
        )
        kept = release_id, question, {rule.code: rule for rule in rules}
        _QUESTIONS[connection] = kept
    return kept


def _absent(connection: Connection[Row], entries: Sequence[Candidate]) -> frozenset[str]:
    """Return what none of the hours has: what is only asked of hours that have it is not looked up."""
    has = {
        "timed_hour": any(entry.started_at is not None for entry in entries),
        "zone_of_hour": any(entry.zone is not None for entry in entries),
        "category_of_hour": any(entry.labor_category is not None for entry in entries),
        "negative_hour": any(entry.seconds < 0 for entry in entries),
        "stored_hour": _is_any_stored(connection, entries),
        # What is asked is the first that anybody says of the hour.
        "earlier_version": False,
    }
    return frozenset(name for name, is_so in has.items() if not is_so)


def _is_any_stored(connection: Connection[Row], entries: Sequence[Candidate]) -> bool:
    row = connection.execute(
        _STORED,
        {
            "connections": [entry.connection_key for entry in entries],
            "refs": [entry.source_ref for entry in entries],
        },
        prepare=True,
    ).fetchone()
    assert row is not None
    return bool(row["is_stored"])


def _verdict(row: Row, by_code: Mapping[str, Rule]) -> PreviewVerdict:
    return PreviewVerdict(
        source_ref=row["source_ref"],
        outcome=row["outcome"],
        entity_code=row["entity_code"],
        labor_category=row["labor_category"],
        billed_seconds=row["billed_seconds"],
        rate_amount=row["rate_amount"],
        amount=row["amount"],
        currency=row["currency"],
        reasons=as_broken(row["reasons"], by_code),
    )


def as_broken(reasons: Sequence[str], by_code: Mapping[str, Rule]) -> tuple[Broken, ...]:
    """Return reasons, each written CODE=SEVERITY, with what their rules say to people."""
    return tuple(
        Broken(
            code=code,
            severity=severity,
            owner_queue=by_code[code].owner_queue,
            message=by_code[code].message,
            fix_hint=by_code[code].fix_hint,
        )
        for code, _, severity in (reason.rpartition("=") for reason in reasons)
    )


def _as_row(number: int, entry: Candidate, now: datetime) -> Row:
    return {
        "subject_no": number,
        "entry_id": str(uuid.uuid4()),
        "connection_key": entry.connection_key,
        "source_epoch": 0,
        "object": "candidate",
        "source_ref": entry.source_ref,
        "approval": "approved" if entry.is_approved else "unknown",
        "approver_ref": entry.approver_ref,
        "approved_at": entry.approved_at,
        "person_ref": entry.person_ref,
        "project_ref": entry.project_ref,
        "task_ref": entry.task_ref,
        "entry_labor_category": entry.labor_category,
        "work_date": entry.work_date,
        "zone": entry.zone,
        "seconds": entry.seconds,
        "started_at": entry.started_at,
        "ended_at": entry.ended_at,
        "created_at": entry.created_at or now,
        "narrative_length": entry.narrative_length,
        "narrative_hash": entry.narrative_hash,
        "told_text": entry.narrative,
        "entry_is_billable": entry.is_billable,
    }


def _as_json(row: Row) -> Row:
    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return "\\x" + value.hex()
        return value.isoformat() if isinstance(value, date) else value

    return {name: plain(value) for name, value in row.items()}
