"""What would have been decided otherwise? Past days are answered twice, and what differs is added up.

Pattern: read only, in one snapshot, a few days per statement; nothing is kept but sums. Drafts of reference data
lie in copies that only this transaction sees. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import get_proposal
from tieline.kernel.errors import UserMistake
from tieline.policy import current_release, diff_releases, find_release
from tieline.register import (
    DRAFTED_PERIOD,
    MOMENT,
    Change,
    Noun,
    copy_calendar,
    copy_table,
    write_draft,
)
from tieline.runtime.database import Database, Row
from tieline.services.reference_files import LOAD, File, plan_file, proposed_file
from tieline.validation import CHUNK_HOURS, Difference, Side, compare

DAYS_MAX = 3660
FILES_MAX = 20
CLOSED = "closed"
# What goes to the ERP, or went there.
_POSTED = ("cleared", "correct")
_NOTHING = Decimal(0)
_CALENDAR = frozenset(
    {
        "work_pattern",
        "employment_share",
        "work_place",
        "leave",
        "company_holiday",
        DRAFTED_PERIOD,
    }
)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A file of reference data that is looked at, and how many rows it would change."""

    noun: str
    file_name: str
    added: int
    changed: int
    ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityChange:
    """What goes to a company's ERP of the hours that differ: as it is, and as it would be; one currency each."""

    entity_code: str
    currency: str
    entries: int
    seconds: int
    was_amount: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractChange:
    """What would become of a contract's hours that go from one outcome to another; one currency each.

    ``place`` is waiting, posted or invoiced: what stands in the ERP stays as it is.
    """

    was_entity_code: str
    entity_code: str
    was_contract_code: str | None
    contract_code: str | None
    place: str
    was_currency: str
    currency: str
    was: str
    becomes: str
    entries: int
    seconds: int
    unpriced: int
    was_amount: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedPeriod:
    """A period that is closed and has hours that would have been decided otherwise."""

    entity_code: str
    period_code: str
    currency: str
    entries: int
    seconds: int
    was_amount: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """How many hours would gain or lose a reason, and the time of both."""

    code: str
    severity: str
    gained: int
    lost: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """The answer: what is drafted, and what that would change."""

    old_release_id: int
    new_release_id: int
    starts_on: date
    ends_on: date
    known_at: datetime
    hours_read: int
    entries: int
    seconds: int
    policy: tuple[str, ...]
    drafts: tuple[Draft, ...]
    entities: tuple[EntityChange, ...]
    contracts: tuple[ContractChange, ...]
    closed_periods: tuple[ClosedPeriod, ...]
    rules: tuple[RuleChange, ...]
    sample: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: of which days, by which releases, and with which files of reference data.

    Without ``new_release_id`` the current release decides both times; ``old_release_id`` is the current one, too,
    unless another is named.
    """

    starts_on: date
    ends_on: date
    new_release_id: int | None = None
    old_release_id: int | None = None
    files: tuple[File, ...] = ()
    proposal_ids: tuple[UUID, ...] = ()


def answer(
    database: Database,
    *,
    question: Question,
    now: datetime,
    sample: int,
    progress: Progress,
    chunk_hours: int = CHUNK_HOURS,
) -> WhatIf:
    """Answer a question in a transaction of its own that writes nothing.

    With files it needs a role that may have copies of its own.

    :raises UserMistake: nothing is drafted, or something named is not there or cannot be meant.
    """
    with database.transaction() as connection:
        # From here on others may work: this sees one state of everything.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        files = [*question.files, *_proposed(connection, question.proposal_ids)]
        drafts, contract_ids = _lay_over(connection, files=files, now=now)
        connection.execute("SET TRANSACTION READ ONLY")
        return ask_what_if(
            connection,
            question=question,
            now=now,
            sample=sample,
            progress=progress,
            chunk_hours=chunk_hours,
            drafts=drafts,
            contract_ids=contract_ids,
            has_calendar=any(file.noun.table in _CALENDAR for file in files),
        )


def ask_what_if(
    connection: Connection[Row],
    *,
    question: Question,
    now: datetime,
    sample: int,
    progress: Progress,
    chunk_hours: int = CHUNK_HOURS,
    drafts: Sequence[Draft] = (),
    contract_ids: Sequence[UUID] = (),
    has_calendar: bool = False,
) -> WhatIf:
    """Answer a question by what this transaction sees; drafts lie in it already.

    :raises UserMistake: there is no such release, nothing is drafted, the days are none or too many, or a rule
        fails.
    """
    old_id, new_id = check_question(connection, question=question, has_drafts=bool(drafts))
    sums = _Sums(sample=sample)
    read = 0
    for step in compare(
        connection,
        before=Side(release_id=old_id, known_at=now, is_drafted=has_calendar),
        after=Side(
            release_id=new_id,
            known_at=now + MOMENT if drafts else now,
            is_drafted=has_calendar,
        ),
        starts_on=question.starts_on,
        ends_on=question.ends_on,
        now=now,
        contract_ids=contract_ids,
        sample=sample,
        chunk_hours=chunk_hours,
    ):
        sums.add(step.differences)
        read = step.done
        progress(step.done, step.total)
    return WhatIf(
        old_release_id=old_id,
        new_release_id=new_id,
        starts_on=question.starts_on,
        ends_on=question.ends_on,
        known_at=now,
        hours_read=read,
        entries=sums.entries,
        seconds=sums.seconds,
        policy=tuple(diff_releases(connection, old_release_id=old_id, new_release_id=new_id)),
        drafts=tuple(drafts),
        entities=tuple(sums.entities[key] for key in sorted(sums.entities)),
        contracts=tuple(sums.contracts[key] for key in sorted(sums.contracts)),
        closed_periods=tuple(sums.periods[key] for key in sorted(sums.periods)),
        rules=tuple(sums.rules[key] for key in sorted(sums.rules)),
        sample=tuple(sorted(sums.sample)[:sample]),
    )


def check_question(
    connection: Connection[Row], *, question: Question, has_drafts: bool | None = None
) -> tuple[int, int]:
    """Return the two releases that a question compares.

    :raises UserMistake: there is no such release, nothing is drafted, or the days are none or too many.
    """
    starts_on, ends_on = question.starts_on, question.ends_on
    if not starts_on < ends_on or (ends_on - starts_on).days > DAYS_MAX:
        raise UserMistake(f"ask for one to {DAYS_MAX} days: from {starts_on} to before {ends_on}")
    current = current_release(connection).release_id
    old_id = current if question.old_release_id is None else question.old_release_id
    new_id = current if question.new_release_id is None else question.new_release_id
    if has_drafts is None:
        has_drafts = bool(question.files or question.proposal_ids)
    if old_id == new_id and not has_drafts:
        raise UserMistake(f"release {old_id} against itself changes nothing: name a draft")
    for number in (old_id, new_id):
        if find_release(connection, release_id=number) is None:
            raise UserMistake(f"there is no release {number}")
    return old_id, new_id


# -- drafts of reference data ----------------------------------------------------------------------


def _proposed(connection: Connection[Row], proposal_ids: Sequence[UUID]) -> list[File]:
    files = []
    for proposal_id in proposal_ids:
        try:
            proposal = get_proposal(connection, proposal_id=proposal_id)
        except LookupError as error:
            raise UserMistake(f"nothing is proposed as {proposal_id}") from error
        if proposal.kind != LOAD:
            raise UserMistake(f"proposal {proposal_id} holds no file of reference data")
        files.append(proposed_file(proposal))
    return files


def _lay_over(
    connection: Connection[Row], *, files: Sequence[File], now: datetime
) -> tuple[tuple[Draft, ...], list[UUID]]:
    """Lay files over what is known, for this transaction alone; return them, and the contracts they name."""
    if len(files) > FILES_MAX:
        raise UserMistake(f"look at {FILES_MAX} files at most")
    drafts = []
    contract_ids: set[UUID] = set()
    for table in sorted({file.noun.table for file in files} - {DRAFTED_PERIOD}):
        copy_table(connection, table=table)
    if any(file.noun.table in _CALENDAR for file in files):
        copy_calendar(connection)
    for file in files:
        plan = plan_file(connection, file=file)
        if not plan.changes:
            raise UserMistake(f"{file.name} changes nothing: every row of it stands already")
        write_draft(connection, plan=plan, known_at=now + MOMENT)
        contract_ids |= _contracts(connection, file.noun, plan.changes)
        kinds = [change.kind for change in plan.changes]
        drafts.append(
            Draft(
                noun=file.noun.name,
                file_name=file.name,
                added=kinds.count("added"),
                changed=kinds.count("changed"),
                ended=kinds.count("ended"),
            )
        )
    return tuple(drafts), sorted(contract_ids)


def _contracts(connection: Connection[Row], noun: Noun, changes: Sequence[Change]) -> set[UUID]:
    """Return the contracts whose hours may come to share a scarce amount otherwise than before."""
    rows = [row for change in changes for row in (change.before, change.after) if row is not None]
    told: dict[str, list[Any]] = {
        name: [row[name] for row in rows if row.get(name) is not None]
        for name in ("contract_id", "client_id", "project_id", "our_id")
    }
    found = connection.execute(
        """
        SELECT k.contract_id FROM contract k JOIN client n USING (client_id)
        WHERE k.contract_id = ANY (%(contract_id)s::uuid[])
           OR coalesce(n.redirect_to, n.client_id) = ANY (%(client_id)s::uuid[])
        UNION SELECT contract_id FROM project
        WHERE project_id = ANY (%(project_id)s::uuid[]) OR project_id = ANY (%(our_id)s::uuid[])
        """,
        told,
    ).fetchall()
    return {row["contract_id"] for row in found}


# -- sums ------------------------------------------------------------------------------------------


class _Sums:
    """Add up what differs; as large as the firm has contracts, whatever it has of hours."""

    def __init__(self, *, sample: int) -> None:
        self.entries = 0
        self.seconds = 0
        self.entities: dict[tuple[str, str], EntityChange] = {}
        self.contracts: dict[tuple[str, ...], ContractChange] = {}
        self.periods: dict[tuple[str, str, str], ClosedPeriod] = {}
        self.rules: dict[tuple[str, str], RuleChange] = {}
        self.sample: list[UUID] = []
        self._sample_max = sample

    def add(self, differences: Sequence[Difference]) -> None:
        for each in differences:
            self.entries += each.entries
            self.seconds += each.seconds
            self._add_entities(each)
            self._add_contract(each)
            if each.period_state == CLOSED and each.period_code is not None:
                self._add_period(each, each.period_code)
            for reason in each.gained:
                self._add_rule(reason, each, gained=each.entries, lost=0)
            for reason in each.lost:
                self._add_rule(reason, each, gained=0, lost=each.entries)
            if len(self.sample) < self._sample_max:
                self.sample += each.sample

    def _add_entities(self, each: Difference) -> None:
        # The hours count where they would go; what went is added where it went.
        self._add_entity(
            each.entity_code,
            each.currency or each.was_currency,
            entries=each.entries,
            seconds=each.seconds,
            amount=_posted(each.amount, outcome=each.becomes),
        )
        if was_amount := _posted(each.was_amount, outcome=each.was):
            self._add_entity(
                each.was_entity_code, each.was_currency or each.currency, was_amount=was_amount
            )

    def _add_entity(
        self,
        entity_code: str,
        currency: str,
        *,
        entries: int = 0,
        seconds: int = 0,
        was_amount: Decimal = _NOTHING,
        amount: Decimal = _NOTHING,
    ) -> None:
        stands = self.entities.get((entity_code, currency)) or EntityChange(
            entity_code=entity_code,
            currency=currency,
            entries=0,
            seconds=0,
            was_amount=_NOTHING,
            amount=_NOTHING,
        )
        self.entities[entity_code, currency] = replace(
            stands,
            entries=stands.entries + entries,
            seconds=stands.seconds + seconds,
            was_amount=stands.was_amount + was_amount,
            amount=stands.amount + amount,
        )

    def _add_contract(self, each: Difference) -> None:
        key = (
            each.entity_code,
            each.contract_code or "",
            each.was_entity_code,
            each.was_contract_code or "",
            each.was_currency,
            each.currency,
            each.place,
            each.was,
            each.becomes,
        )
        stands = self.contracts.get(key)
        self.contracts[key] = ContractChange(
            was_entity_code=each.was_entity_code,
            entity_code=each.entity_code,
            was_contract_code=each.was_contract_code,
            contract_code=each.contract_code,
            place=each.place,
            was_currency=each.was_currency,
            currency=each.currency,
            was=each.was,
            becomes=each.becomes,
            entries=each.entries + (stands.entries if stands else 0),
            seconds=each.seconds + (stands.seconds if stands else 0),
            unpriced=each.unpriced + (stands.unpriced if stands else 0),
            was_amount=each.was_amount + (stands.was_amount if stands else 0),
            amount=each.amount + (stands.amount if stands else 0),
        )

    def _add_period(self, each: Difference, period_code: str) -> None:
        currency = each.currency or each.was_currency
        key = (each.entity_code, period_code, currency)
        stands = self.periods.get(key) or ClosedPeriod(
            entity_code=each.entity_code,
            period_code=period_code,
            currency=currency,
            entries=0,
            seconds=0,
            was_amount=_NOTHING,
            amount=_NOTHING,
        )
        self.periods[key] = replace(
            stands,
            entries=stands.entries + each.entries,
            seconds=stands.seconds + each.seconds,
            was_amount=stands.was_amount + _posted(each.was_amount, outcome=each.was),
            amount=stands.amount + _posted(each.amount, outcome=each.becomes),
        )

    def _add_rule(self, reason: str, each: Difference, *, gained: int, lost: int) -> None:
        code, _, severity = reason.partition("=")
        stands = self.rules.get((code, severity)) or RuleChange(
            code=code, severity=severity, gained=0, lost=0, seconds=0
        )
        self.rules[code, severity] = replace(
            stands,
            gained=stands.gained + gained,
            lost=stands.lost + lost,
            seconds=stands.seconds + each.seconds,
        )


def _posted(amount: Decimal, *, outcome: str) -> Decimal:
    return amount if outcome in _POSTED else _NOTHING
