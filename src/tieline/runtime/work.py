"""What waits is a row: schedule it in the transaction that made it necessary, run it durably."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.runtime.sql import load

CUT_OFF, BILLING, PROVISIONING, REFERENCE = range(4)

_SCHEDULE = load("tieline.runtime", "schedule_work")
_CLAIM = load("tieline.runtime", "claim_work")
_BY_DEADLINE = "deadline NULLS LAST, value_at_risk DESC, due_at"
_BY_AGE = "due_at"
# What each less urgent class has of what a worker takes, while it has something: some more than a tenth.
_SHARE = 8
_FINISH = load("tieline.runtime", "finish_work")
_PUT_BACK = load("tieline.runtime", "put_back_work")
_ERROR_LENGTH_MAX = 500
_NOTHING = Decimal(0)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a run may act by: its item is still its own."""

    work_id: int
    workflow_id: str


class Steps(Protocol):
    """Run named steps of one durable piece of work; each is one transaction or one foreign call.

    Where there is a ``claim``, a step that asks for it in the statement that it begins with needs no ``run``.
    """

    @property
    def claim(self) -> Claim | None: ...

    def run(self, name: str, function: Callable[[], _Result]) -> _Result:
        """Run a step and record its result, which must be plain JSON."""
        ...


class AtOnce:
    """Run steps one after the other, in this process."""

    claim: Claim | None = None

    def run(self, name: str, function: Callable[[], _Result]) -> _Result:
        """Run a step, and record nothing."""
        return function()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Run once more after so many seconds, or earlier when somebody schedules it."""

    due_in_seconds: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Running it again will not help; a person or a change must."""

    reason: str


Outcome = Done | Again | Failed
Handler = Callable[[Steps, str], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """One claimed run of a piece of work."""

    work_id: int
    kind: str
    subject: str
    work_class: int
    attempt: int
    errors: int
    workflow_id: str
    correlation_id: str


@dataclass(slots=True)
class Turns:
    """What each class is owed of what one worker takes, in eighths of an item.

    What a class took while nobody else was there is not held against it.
    """

    owed: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def next_first(self) -> tuple[int, int]:
        """Return the class that is owed items, and how many; CUT_OFF when none is."""
        for work_class in (REFERENCE, PROVISIONING, BILLING):
            if self.owed[work_class] >= _SHARE:
                return work_class, self.owed[work_class] // _SHARE
        return CUT_OFF, 0

    def note(self, classes: Sequence[int], *, first_class: int) -> None:
        """Remember what was taken; nothing is owed to a class that had its turn and nothing to do."""
        for taken in classes:
            for work_class in (REFERENCE, PROVISIONING, BILLING):
                gained = 1 - _SHARE * (work_class == taken)
                self.owed[work_class] = max(-_SHARE, self.owed[work_class] + gained)
        if first_class not in classes:
            self.owed[first_class] = 0


def schedule(
    connection: Connection[Row],
    *,
    kind: str,
    subject: str,
    work_class: int,
    correlation_id: str,
    due_in_seconds: int = 0,
    deadline: datetime | None = None,
    value_at_risk: Decimal = _NOTHING,
    at: datetime | None = None,
) -> None:
    """Ask that a piece of work be run, in the caller's transaction.

    ``at`` is the lease time of a rehearsal; without it the database's own counts.
    While it waits, it is only brought forward; while it runs, it is run once more afterwards.
    """
    connection.execute(
        _SCHEDULE,
        {
            "kind": kind,
            "subject": subject,
            "work_class": work_class,
            "due_in_seconds": due_in_seconds,
            "deadline": deadline,
            "value_at_risk": value_at_risk,
            "at": at,
            "correlation_id": correlation_id,
        },
    )


def due_kinds(
    connection: Connection[Row], *, kinds: Sequence[str], at: datetime | None = None
) -> frozenset[str]:
    """Return of which kinds some work is due: who has nothing to do asks this, and not in which order it would go."""
    rows = connection.execute(
        """
        SELECT k.kind FROM string_to_table(%(kinds)s, ' ') AS k (kind)
        WHERE EXISTS (
            SELECT FROM generate_series(0, 3) AS c (work_class) CROSS JOIN LATERAL (
                SELECT FROM work_item w
                WHERE w.state = 'waiting' AND w.kind = k.kind AND w.work_class = c.work_class
                  AND w.due_at <= coalesce(%(at)s::timestamptz, clock_timestamp())
                LIMIT 1) w)
        """,
        {"kinds": " ".join(kinds), "at": at},
    ).fetchall()
    return frozenset(row["kind"] for row in rows)


def claim(
    connection: Connection[Row],
    *,
    executor_id: str,
    kinds: Sequence[str],
    slots: int,
    low_slots: int,
    kind_slots: int,
    turns: Turns,
    now: datetime,
    at: datetime | None = None,
) -> list[WorkItem]:
    """Claim due work, most urgent first; ``turns`` remembers what this worker took of each class.

    Deadlines are business time, ``now``; ``at`` is the lease time of a rehearsal. Provisioning and
    reference get at most ``low_slots``; runs of one kind, with those under way, at most ``kind_slots``.
    """
    first_class, first_slots = turns.next_first()
    is_by_age = first_class != CUT_OFF
    rows = connection.execute(
        _CLAIM.replace("{order}", _BY_AGE if is_by_age else _BY_DEADLINE),
        {
            "first_class": first_class,
            "first_slots": first_slots,
            "now": now,
            "at": at,
            "executor_id": executor_id,
            "kinds": list(kinds),
            "slots": slots,
            "low_slots": max(0, low_slots),
            "kind_slots": kind_slots,
        },
    ).fetchall()
    items = [WorkItem(**row) for row in rows]
    turns.note([item.work_class for item in items], first_class=first_class)
    return items


def finish(
    connection: Connection[Row],
    *,
    item: WorkItem,
    outcome: Outcome,
    error: str | None = None,
    hold: bool = False,
    at: datetime | None = None,
) -> str | None:
    """Record the outcome of a run and return the new state; None when the run was taken over."""
    row = connection.execute(
        _FINISH,
        {
            "work_id": item.work_id,
            "workflow_id": item.workflow_id,
            "state": _state_after(outcome),
            "due_in_seconds": outcome.due_in_seconds if isinstance(outcome, Again) else 0,
            "error": _shortened(outcome.reason if isinstance(outcome, Failed) else error),
            "hold": hold,
            "at": at,
        },
    ).fetchone()
    return None if row is None else str(row["state"])


def put_back(
    connection: Connection[Row], *, workflow_ids: Sequence[str], because: str
) -> list[Row]:
    """Let runs that were lost wait again at once; return what was put back."""
    return connection.execute(
        _PUT_BACK, {"workflow_ids": list(workflow_ids), "because": because}
    ).fetchall()


def _state_after(outcome: Outcome) -> str:
    match outcome:
        case Done():
            return "done"
        case Again():
            return "waiting"
        case Failed():
            return "failed"


def _shortened(text: str | None) -> str | None:
    return None if text is None else text[:_ERROR_LENGTH_MAX]


def as_outcome(value: Any) -> Outcome:
    """Return a handler's answer, refusing anything that is not an outcome.

    :raises TypeError: the handler answered something else.
    """
    if isinstance(value, (Done, Again, Failed)):
        return value
    raise TypeError(f"a handler answered {type(value).__name__}, not Done, Again or Failed")
