"""A target in memory that refuses a second key, as Tryton does, and misbehaves when told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from tieline.canonical import TimeLineCommand
from tieline.kernel.errors import (
    AlreadyExists,
    LeaseLost,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StreamBroken,
)
from tieline.sdk import Capabilities, LineTotal, NounWrite, Receipt, StoredLine, Strategy, Undo

NORMAL = ""
LOST = "answer_lost"
BROKEN = "broken_after"
LATE = "late_commit"
REFUSED_CONNECTION = "refused_connection"
BUSY = "503"
LATE_SENDER = "late_sender"


@dataclass(slots=True)
class LineTarget:
    """Keep time lines by key. ``plan`` is what happens to the next calls, in order."""

    lines: dict[UUID, StoredLine] = field(default_factory=dict)
    plan: list[str] = field(default_factory=list)
    late: list[list[TimeLineCommand]] = field(default_factory=list)
    invoiced: set[UUID] = field(default_factory=set)
    refused_seconds: set[int] = field(default_factory=set)
    # Lines of these lengths stand twice, as somebody made them by hand.
    doubled_seconds: set[int] = field(default_factory=set)
    # What is stored is rounded down to this many seconds, as a setting of the target may.
    rounds_to: int = 1
    # So many reads break off from now on.
    broken_reads: int = 0
    calls: int = 0
    reads: int = 0
    # What a target that compares no keys holds beside the line of a key.
    twins: dict[UUID | None, StoredLine] = field(default_factory=dict)
    # For how many lines of a batch an answer speaks, None for all.
    answered_max: int | None = None
    # Called after a write and after a read was done, before its answer is believed.
    after_write: Callable[[], None] | None = None
    after_read: Callable[[], None] | None = None

    def write_lines(self, *, entity_code: str, lines: Sequence[TimeLineCommand]) -> list[Receipt]:
        self.calls += 1
        mood = self.plan.pop(0) if self.plan else NORMAL
        if mood == REFUSED_CONNECTION:
            raise NotExecuted("the target is not reachable")
        if mood == BUSY:
            raise OutcomeUnknown("the target answered 503")
        if mood == LATE_SENDER:
            raise LeaseLost("the sender woke up late")
        if mood == LATE:
            self.late.append(list(lines))
            raise OutcomeUnknown("the answer did not come in time")
        self._store(lines)
        if mood == LOST:
            raise OutcomeUnknown("the answer was lost")
        if mood == BROKEN:
            raise StreamBroken("what the connector asked after the write broke off")
        if self.after_write is not None:
            self.after_write()
        answered = lines[: self.answered_max]
        return [
            Receipt(target_code=str(line.business_key), business_key=line.business_key)
            for line in answered
        ]

    def commit_late(self) -> None:
        """Let what was sent before commit now; a key that stands already is refused."""
        for lines in self.late:
            try:
                self._store(lines)
            except AlreadyExists:
                continue
        self.late.clear()

    def read_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> list[StoredLine]:
        if self.broken_reads:
            self.broken_reads -= 1
            raise StreamBroken("the read broke off")
        self.reads += 1
        found = [self.lines[key] for key in keys if key in self.lines]
        found += [self.twins[key] for key in keys if key in self.twins]
        if self.after_read is not None:
            self.after_read()
        return found + [
            replace(line, target_code=f"{line.target_code}-copy")
            for line in found
            if line.seconds in self.doubled_seconds
        ]

    def void_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> None:
        if self.invoiced & set(keys):
            raise Refused("a line is invoiced", reason="target.invoiced")
        for key in keys:
            self.lines.pop(key, None)

    def line_totals(self, *, entity_code: str, starts_on: date, ends_on: date) -> list[LineTotal]:
        seconds = sum(line.seconds for line in self.lines.values())
        return [LineTotal(project_code="400", seconds=seconds, lines=len(self.lines))]

    def _store(self, lines: Sequence[TimeLineCommand]) -> None:
        if any(line.seconds in self.refused_seconds for line in lines):
            raise Refused("the duration is not valid", reason="posted.rejected")
        if any(line.business_key in self.lines for line in lines):
            raise AlreadyExists("a key stands already", reason="posted.exists")
        for line in lines:
            self.lines[line.business_key] = StoredLine(
                business_key=line.business_key,
                target_code=str(line.business_key),
                entity_code=line.entity_code,
                person_code=line.person_code,
                task_code=line.task_code,
                work_date=line.work_date,
                seconds=line.seconds - line.seconds % self.rounds_to,
                invoice_code=None,
            )


@dataclass(frozen=True, slots=True)
class OneConnector:
    """A directory with one connector in it, and how its time lines are made safe."""

    connector: Any
    strategy: Strategy = Strategy.UNIQUE_FIELD
    translator: int = 0

    def get(self, *, connection_key: str) -> Any:
        return self.connector

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return Capabilities(
            system="fake",
            kind="erp",
            tier="gold",
            owners=("tests",),
            permissions=(),
            streams=(),
            writes=(
                NounWrite(
                    noun="time_line",
                    strategy=self.strategy,
                    undo=Undo.VOID_BY_KEY,
                    batch_lines_max=200,
                    quantum_seconds=1,
                ),
            ),
            limits=(),
            settle_seconds=2,
            record_urls={},
            config_keys=(),
            secret_names=(),
            translator=self.translator,
        )


class OpenBudgets:
    """A budget that always has room."""

    def rest_seconds(self, *, connection_key: str, within: object = None) -> int:
        return 0

    def instant(self) -> datetime | None:
        return None


@dataclass(slots=True)
class FixedClock:
    """Business time that stands still until a test moves it."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant
