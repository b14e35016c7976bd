"""The same engine for one hour that is not stored, and for a verdict of the past."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.policy import current_release
from tieline.runtime.database import Row
from tieline.validation.answering import answer_rows
from tieline.validation.statement import CANDIDATE_SUBJECT, OLD_SUBJECT, load_rules

CANDIDATES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An hour as a caller would book it, in the words of a connection."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewVerdict:
    """What would become of a candidate; ``reasons`` are (code, severity, message, fix)."""

    source_ref: str
    outcome: str
    entity_code: str | None
    amount: Decimal | None
    currency: str | None
    reasons: tuple[tuple[str, str, str, str], ...]


def preview(
    connection: Connection[Row], *, entries: Sequence[Candidate], now: datetime
) -> list[PreviewVerdict]:
    """Judge candidates without storing anything; in the order they were given."""
    release = current_release(connection)
    rules = load_rules(connection, release_id=release.release_id)
    rows = answer_rows(
        connection,
        subject=CANDIDATE_SUBJECT,
        rules=rules,
        values={
            "candidates": Jsonb([_as_row(n, entry, now) for n, entry in enumerate(entries)]),
            "known_at": now,
            "release_id": release.release_id,
        },
    )
    by_code = {rule.code: rule for rule in rules}
    verdicts = []
    for row in sorted(rows, key=lambda row: int(row["subject_no"])):
        reasons = tuple(
            (code, by_code[code].severity, by_code[code].message, by_code[code].fix_hint)
            for code in row["violations"]
            if by_code[code].severity != "ignore"
        )
        verdicts.append(
            PreviewVerdict(
                source_ref=row["source_ref"],
                outcome=_outcome({severity for _, severity, _, _ in reasons}),
                entity_code=row["entity_code"],
                amount=row["amount"],
                currency=row["currency"],
                reasons=reasons,
            )
        )
    return verdicts


def explain_verdict(connection: Connection[Row], *, verdict_id: int) -> Mapping[str, Any]:
    """Return the context of a verdict, rebuilt by the statement that made it, as it was known then.

    :raises LookupError: there is no such verdict.
    """
    verdict = connection.execute(
        "SELECT entry_id, version, known_at, release_id, outcome FROM verdict WHERE verdict_id = %s",
        (verdict_id,),
    ).fetchone()
    if verdict is None:
        raise LookupError(f"no verdict has the number {verdict_id}")
    rules = load_rules(connection, release_id=verdict["release_id"])
    rows = answer_rows(connection, subject=OLD_SUBJECT, rules=rules, values=verdict, is_then=True)
    return {**verdict, "context": rows[0] if rows else None}


def _as_row(number: int, entry: Candidate, now: datetime) -> Row:
    return {
        "subject_no": number,
        "entry_id": str(uuid.uuid4()),
        "connection_key": entry.connection_key,
        "source_epoch": 0,
        "object": "candidate",
        "source_ref": entry.source_ref,
        "approval": "approved" if entry.is_approved else "unknown",
        "person_ref": entry.person_ref,
        "project_ref": entry.project_ref,
        "task_ref": entry.task_ref,
        "entry_labor_category": entry.labor_category,
        "work_date": entry.work_date.isoformat() if entry.work_date else None,
        "seconds": entry.seconds,
        "created_at": now.isoformat(),
        "narrative_length": entry.narrative_length,
        "entry_is_billable": entry.is_billable,
    }


def _outcome(severities: set[str]) -> str:
    if "error" in severities:
        return "held"
    return "parked" if "park" in severities else "cleared"
