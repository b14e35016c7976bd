"""What waits is a row: schedule it in the transaction that made it necessary, run it durably."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
# Of eight turns each less urgent class has one of its own: some more than a tenth.
_TURNS = 8
_TURN_OF = {2: REFERENCE, 4: PROVISIONING, 6: BILLING}
_FINISH = load("tieline.runtime", "finish_work")
_PUT_BACK = load("tieline.runtime", "put_back_work")
_ERROR_LENGTH_MAX = 500
_NOTHING = Decimal(0)
_Result = TypeVar("_Result")


class Steps(Protocol):
    """Run named steps of one durable piece of work; each is one transaction or one foreign call."""

    def run(self, name: str, function: Callable[[], _Result]) -> _Result:
        """Run a step and record its result, which must be plain JSON."""
        ...


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


def claim(
    connection: Connection[Row],
    *,
    executor_id: str,
    kinds: Sequence[str],
    slots: int,
    low_slots: int,
    kind_slots: int,
    turn: int,
    now: datetime,
    at: datetime | None = None,
) -> list[WorkItem]:
    """Claim due work, most urgent first; ``turn`` counts the claims of a worker.

    Deadlines are business time, ``now``; ``at`` is the lease time of a rehearsal. Provisioning and reference get at most ``low_slots``; runs of one kind, with those that are under
    way, at most ``kind_slots``.
    """
    first_class = _TURN_OF.get(turn % _TURNS, CUT_OFF)
    is_by_age = first_class != CUT_OFF
    rows = connection.execute(
        _CLAIM.replace("{order}", _BY_AGE if is_by_age else _BY_DEADLINE),
        {
            "first_class": first_class,
            "is_by_age": is_by_age,
            "now": now,
            "at": at,
            "executor_id": executor_id,
            "kinds": list(kinds),
            "slots": slots,
            "low_slots": max(0, low_slots),
            "kind_slots": kind_slots,
        },
    ).fetchall()
    return [WorkItem(**row) for row in rows]


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
