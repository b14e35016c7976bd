"""What would another release have done? Past days are answered twice, and what differs is added up.

Pattern: read only, in one snapshot, a few days per statement; nothing is kept but sums. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.policy import current_release, diff_releases, read_release
from tieline.runtime.database import Row
from tieline.validation import CHUNK_HOURS, Difference, compare

DAYS_MAX = 3660
CLOSED = "closed"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractChange:
    """What would become of a contract's hours that go from one outcome to another; one currency each.

    ``place`` is waiting, posted or invoiced: what stands in the ERP stays as it is.
    """

    entity_code: str
    contract_code: str | None
    currency: str
    place: str
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
    entries: int
    seconds: int


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
    """The answer: what the releases differ in, and what that would change."""

    old_release_id: int
    new_release_id: int
    starts_on: date
    ends_on: date
    known_at: datetime
    hours_read: int
    entries: int
    seconds: int
    policy: tuple[str, ...]
    contracts: tuple[ContractChange, ...]
    closed_periods: tuple[ClosedPeriod, ...]
    rules: tuple[RuleChange, ...]
    sample: tuple[UUID, ...]


def read_only(connection: Connection[Row]) -> None:
    """Let a transaction that has just begun see one state of everything, and write nothing."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def ask_what_if(
    connection: Connection[Row],
    *,
    new_release_id: int,
    old_release_id: int | None,
    starts_on: date,
    ends_on: date,
    now: datetime,
    sample: int,
    progress: Progress,
    chunk_hours: int = CHUNK_HOURS,
) -> WhatIf:
    """Answer every hour worked in [starts_on, ends_on) by two releases; the old one is the current by default.

    :raises UserMistake: there is no such release, the days are none or too many, or a rule fails.
    """
    if not starts_on < ends_on or (ends_on - starts_on).days > DAYS_MAX:
        raise UserMistake(f"ask for one to {DAYS_MAX} days: from {starts_on} to before {ends_on}")
    old_id = current_release(connection).release_id if old_release_id is None else old_release_id
    for number in (old_id, new_release_id):
        read_release(connection, release_id=number)
    sums = _Sums(sample=sample)
    read = 0
    for step in compare(
        connection,
        old_release_id=old_id,
        new_release_id=new_release_id,
        starts_on=starts_on,
        ends_on=ends_on,
        known_at=now,
        sample=sample,
        chunk_hours=chunk_hours,
    ):
        sums.add(step.differences)
        read = step.done
        progress(step.done, step.total)
    return WhatIf(
        old_release_id=old_id,
        new_release_id=new_release_id,
        starts_on=starts_on,
        ends_on=ends_on,
        known_at=now,
        hours_read=read,
        entries=sums.entries,
        seconds=sums.seconds,
        policy=tuple(
            diff_releases(connection, old_release_id=old_id, new_release_id=new_release_id)
        ),
        contracts=tuple(sums.contracts[key] for key in sorted(sums.contracts)),
        closed_periods=tuple(sums.periods[key] for key in sorted(sums.periods)),
        rules=tuple(sums.rules[key] for key in sorted(sums.rules)),
        sample=tuple(sorted(sums.sample[:sample])),
    )


class _Sums:
    """Add up what differs; as large as the firm has contracts, whatever it has of hours."""

    def __init__(self, *, sample: int) -> None:
        self.entries = 0
        self.seconds = 0
        self.contracts: dict[tuple[str, ...], ContractChange] = {}
        self.periods: dict[tuple[str, str], ClosedPeriod] = {}
        self.rules: dict[tuple[str, str], RuleChange] = {}
        self.sample: list[UUID] = []
        self._sample_max = sample

    def add(self, differences: Sequence[Difference]) -> None:
        for each in differences:
            self.entries += each.entries
            self.seconds += each.seconds
            self._add_contract(each)
            if each.period_state == CLOSED and each.period_code is not None:
                self._add_period(each, each.period_code)
            for reason in each.gained:
                self._add_rule(reason, each, gained=each.entries, lost=0)
            for reason in each.lost:
                self._add_rule(reason, each, gained=0, lost=each.entries)
            if len(self.sample) < self._sample_max:
                self.sample += each.sample

    def _add_contract(self, each: Difference) -> None:
        key = (
            each.entity_code,
            each.contract_code or "",
            each.currency,
            each.place,
            each.was,
            each.becomes,
        )
        stands = self.contracts.get(key)
        self.contracts[key] = ContractChange(
            entity_code=each.entity_code,
            contract_code=each.contract_code,
            currency=each.currency,
            place=each.place,
            was=each.was,
            becomes=each.becomes,
            entries=each.entries + (stands.entries if stands else 0),
            seconds=each.seconds + (stands.seconds if stands else 0),
            unpriced=each.unpriced + (stands.unpriced if stands else 0),
            was_amount=each.was_amount + (stands.was_amount if stands else 0),
            amount=each.amount + (stands.amount if stands else 0),
        )

    def _add_period(self, each: Difference, period_code: str) -> None:
        key = (each.entity_code, period_code)
        stands = self.periods.get(key) or ClosedPeriod(
            entity_code=each.entity_code, period_code=period_code, entries=0, seconds=0
        )
        self.periods[key] = replace(
            stands, entries=stands.entries + each.entries, seconds=stands.seconds + each.seconds
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
