"""The same engine for hours that are not stored."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.policy import Rule, current_release
from tieline.runtime.database import Row
from tieline.validation.answering import STORED_COLUMNS, answer_rows
from tieline.validation.statement import (
    CANDIDATE_SUBJECT,
    load_rules,
)
from tieline.validation.weighing import DECIDED

# Planning the statement takes some times as long as answering it for a few hours, whatever these are.
_PLANNED_ONCE_MAX = 20


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
    release = current_release(connection)
    rules = load_rules(connection, release_id=release.release_id)
    values: Row = {"known_at": now, "now": now, "release_id": release.release_id}
    values["candidates"] = [
        Jsonb(_as_json(_as_row(number, entry, now))) for number, entry in enumerate(entries)
    ]
    if len(entries) <= _PLANNED_ONCE_MAX:
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    found = answer_rows(
        connection,
        subject=CANDIDATE_SUBJECT,
        rules=rules,
        values=values,
        around=DECIDED + " SELECT * FROM decided",
        columns=("source_ref", *STORED_COLUMNS),
    )
    connection.execute("SET LOCAL plan_cache_mode = auto")
    by_code = {rule.code: rule for rule in rules}
    return [_verdict(row, by_code) for row in sorted(found, key=lambda row: int(row["subject_no"]))]


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
