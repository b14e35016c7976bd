"""Hours that nobody has approved yet, judged as if somebody had: asked, never stored, so never posted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID
from weakref import WeakKeyDictionary

from psycopg import Connection

from tieline.policy import current_release
from tieline.runtime.database import Row
from tieline.runtime.sql import hashed, load
from tieline.validation.answering import STORED_COLUMNS, KeptQuestion
from tieline.validation.preview import Broken, as_broken
from tieline.validation.statement import VERSION_COLUMNS, load_rules
from tieline.validation.weighing import DECIDED

HOURS_MAX = 20_000
# Nobody has approved them: who did and when is not asked. What stands in a target is a change, and decided as one.
_AS_IF_APPROVED = VERSION_COLUMNS.replace(
    "w.approval, w.approver_ref,", "'approved'::text AS approval, NULL::text AS approver_ref,"
).replace("w.approved_at,", "NULL::timestamptz AS approved_at,")
_SUBJECT = f"""
    SELECT row_number() OVER (ORDER BY t.entry_id) AS subject_no, {_AS_IF_APPROVED}, true AS is_subject
    FROM (
        SELECT * FROM time_entry_version v
        WHERE v.is_newest AND NOT v.is_deleted AND v.approval = 'not_approved' AND v.work_date >= %(since_on)s
        ORDER BY v.work_date DESC, v.entry_id LIMIT %(limit)s
    ) w
    JOIN time_entry t ON t.entry_id = w.entry_id
    WHERE NOT EXISTS (SELECT FROM standing_effect e WHERE e.entry_id = t.entry_id)
"""
_EARLY = load("tieline.validation", "early")
_GIVEN = {
    "known_at": "timestamptz",
    "now": "timestamptz",
    "release_id": "integer",
    "since_on": "date",
    "limit": "integer",
}
# How a session asks, by the release that decides; a release never changes.
_QUESTIONS: WeakKeyDictionary[Connection[Row], tuple[int, KeptQuestion]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyVerdict:
    """What would become of an hour if it were approved now; it has no number, and nothing can refer to it."""

    entry_id: UUID
    connection_key: str
    source_ref: str
    person_id: UUID | None
    person_name: str | None
    project_id: UUID | None
    project_code: str | None
    task_name: str | None
    entity_code: str | None
    work_date: date
    seconds: int
    amount: Decimal | None
    currency: str | None
    outcome: str
    approver_id: UUID | None
    approver_name: str | None
    managers: Mapping[UUID, str | None]
    reasons: tuple[Broken, ...]


def look_early(
    connection: Connection[Row], *, since_on: date, now: datetime, limit: int = HOURS_MAX
) -> list[EarlyVerdict]:
    """Judge what is not approved, the newest work first, all of it together; nothing is written."""
    release_id, question = _question(connection)
    values: Row = {
        "known_at": now,
        "now": now,
        "release_id": release_id,
        "since_on": since_on,
        "limit": limit,
    }
    # Its plan is made for any number of hours: what it joins, it hashes.
    with hashed(connection, is_so=True):
        rows = question.answer(connection, values=values, absent=frozenset())
    by_code = {rule.code: rule for rule in question.rules}
    return [
        EarlyVerdict(
            **{
                **row,
                "managers": {UUID(key): name for key, name in (row["managers"] or {}).items()},
                "reasons": as_broken(row["reasons"], by_code),
            }
        )
        for row in rows
        # Before the go-live of a connection, and what people left out, is nobody's to look at.
        if row["outcome"] in ("cleared", "held", "parked")
    ]


def _question(connection: Connection[Row]) -> tuple[int, KeptQuestion]:
    """Return how the current release is asked; planning it takes as long as to judge some hundred hours."""
    release_id = current_release(connection).release_id
    kept = _QUESTIONS.get(connection)
    if kept is None or kept[0] != release_id:
        question = KeptQuestion(
            subject=_SUBJECT,
            rules=load_rules(connection, release_id=release_id),
            around=DECIDED + _EARLY,
            columns=(*STORED_COLUMNS, "connection_key", "source_ref", "task_name"),
            given=_GIVEN,
        )
        kept = _QUESTIONS[connection] = release_id, question
    return kept
