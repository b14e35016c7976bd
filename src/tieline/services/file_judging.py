"""Judge the hours of a file by the one engine; nothing is stored, and one bad record hides no other.

Pattern: read on request. Vendor calls: none.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tieline.runtime.database import Database
from tieline.services.hours_file import HoursFile, Problem, Record
from tieline.validation import Candidate, PreviewVerdict, preview

NOT_JUDGED = "not_judged"
UNREADABLE = "file.unreadable"
# What keeps an hour from being posted as it stands.
_KEPT_BACK = frozenset({"held", "parked"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an entry is held, parked or not judged, or what is to be known about it."""

    code: str
    severity: str
    owner_queue: str | None
    message: str
    fix_hint: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEntry:
    """What would become of one entry; ``is_early`` says that it was judged as if it were approved."""

    ref: str | None
    place: str
    line: int
    verdict: str
    is_early: bool
    entity: str | None
    labor_category: str | None
    seconds: int | None
    billed_seconds: int | None
    rate_amount: Decimal | None
    amount: Decimal | None
    currency: str | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of the file as a whole; amounts are of what would be posted, by currency."""

    entries: int
    judged: int
    not_judged: int
    early: int
    by_verdict: dict[str, int]
    by_reason: dict[str, int]
    amounts: dict[str, Decimal]
    context: str
    as_of: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedFile:
    """The entries in the order of the file, and their sums."""

    entries: tuple[JudgedEntry, ...]
    summary: Summary

    @property
    def is_whole(self) -> bool:
        """Say whether every entry could be judged."""
        return self.summary.not_judged == 0

    @property
    def is_clear(self) -> bool:
        """Say whether nothing would be kept back."""
        return not any(entry.verdict in _KEPT_BACK for entry in self.entries)


def judge_file(
    database: Database,
    *,
    file: HoursFile,
    context: str,
    material_key: bytes,
    now: datetime,
) -> JudgedFile:
    """Judge what can be read of a file; ``context`` says where the firm is known from."""
    readable = [record for record in file.records if not record.problems]
    candidates = [_candidate(record, material_key) for record in readable]
    verdicts: list[PreviewVerdict] = []
    if candidates:
        # Neither reading a file nor telling what came of it is done with a transaction open: it takes seconds.
        with database.transaction() as connection:
            verdicts = preview(connection, entries=candidates, now=now)
    found = dict(zip((record.place for record in readable), verdicts, strict=True))
    entries = tuple(_entry(record, found.get(record.place)) for record in file.records)
    return JudgedFile(entries=entries, summary=_summary(entries, context=context, now=now))


def sources_of(file: HoursFile) -> Sequence[str]:
    """Return the connections that the entries of a file come from."""
    return sorted({record.connection for record in file.records})


def _candidate(record: Record, key: bytes) -> Candidate:
    told = record.values
    narrative = (told.get("narrative") or "").strip()
    return Candidate(
        connection_key=record.connection,
        source_ref=told["ref"],
        person_ref=told["person"],
        project_ref=told.get("project"),
        task_ref=told.get("task"),
        labor_category=told.get("labor_category"),
        work_date=told.get("work_date"),
        seconds=told["seconds"],
        is_billable=told.get("billable"),
        # What is not approved yet is judged early, as if it were; what nobody told is not known.
        is_approved=told.get("approved") is not None,
        narrative_length=len(narrative),
        narrative=narrative or None,
        narrative_hash=hashlib.sha256(key + narrative.encode()).digest() if narrative else None,
        approver_ref=told.get("approver"),
        approved_at=told.get("approved_at"),
        started_at=told.get("started_at"),
        ended_at=told.get("ended_at"),
        created_at=told.get("created_at"),
        zone=told.get("zone"),
    )


def _entry(record: Record, verdict: PreviewVerdict | None) -> JudgedEntry:
    if verdict is None:
        return JudgedEntry(
            ref=record.ref,
            place=record.place,
            line=record.line,
            verdict=NOT_JUDGED,
            is_early=_is_early(record),
            entity=None,
            labor_category=None,
            seconds=record.values.get("seconds"),
            billed_seconds=None,
            rate_amount=None,
            amount=None,
            currency=None,
            reasons=_unreadable(record.problems),
        )
    return JudgedEntry(
        ref=record.ref,
        place=record.place,
        line=record.line,
        verdict=verdict.outcome,
        is_early=_is_early(record),
        entity=verdict.entity_code,
        labor_category=verdict.labor_category,
        seconds=record.values["seconds"],
        billed_seconds=verdict.billed_seconds,
        rate_amount=verdict.rate_amount,
        amount=verdict.amount,
        currency=verdict.currency,
        reasons=_reasons(record, verdict),
    )


def _is_early(record: Record) -> bool:
    return record.values.get("approved") is False


def _reasons(record: Record, verdict: PreviewVerdict) -> tuple[Reason, ...]:
    return tuple(
        Reason(
            code=broken.code,
            severity=broken.severity,
            owner_queue=broken.owner_queue,
            message=broken.message,
            fix_hint=broken.fix_hint,
            place=record.place,
        )
        for broken in verdict.reasons
    )


def _unreadable(problems: Sequence[Problem]) -> tuple[Reason, ...]:
    return tuple(
        Reason(
            code=UNREADABLE,
            severity="error",
            owner_queue=None,
            message=str(problem),
            fix_hint="Mend the file there; the other entries are judged without this one.",
            place=problem.place,
        )
        for problem in problems
    )


def _summary(entries: Sequence[JudgedEntry], *, context: str, now: datetime) -> Summary:
    amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        if entry.verdict == "cleared" and entry.amount is not None and entry.currency is not None:
            amounts[entry.currency] += entry.amount
    verdicts = Counter(entry.verdict for entry in entries)
    return Summary(
        entries=len(entries),
        judged=len(entries) - verdicts[NOT_JUDGED],
        not_judged=verdicts[NOT_JUDGED],
        early=sum(entry.is_early for entry in entries),
        by_verdict=dict(sorted(verdicts.items())),
        by_reason=dict(
            sorted(Counter(reason.code for entry in entries for reason in entry.reasons).items())
        ),
        amounts=dict(sorted(amounts.items())),
        context=context,
        as_of=now,
    )
