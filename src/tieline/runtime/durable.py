"""Run claimed work as DBOS workflows: one generic workflow, one table of handlers, no other engine.

A workflow is a run, never the truth: handlers keep that in tables, so a lost run is cancelled and
a fresh one reads the tables and goes on. What keeps each of its steps itself runs beside the engine, in a thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID, StepOptions
from dbos._serialization import DBOSPortableJSONSerializer
from psycopg import Connection, OperationalError

from tieline import __version__
from tieline.kernel.errors import AskPerson, LeaseLost, TryAgain
from tieline.runtime.database import Database, Row
from tieline.runtime.migrate import sqlalchemy_url
from tieline.runtime.outcomes import count_outcome
from tieline.runtime.telemetry import correlated
from tieline.runtime.work import (
    Again,
    Claim,
    Done,
    Failed,
    Handler,
    Outcome,
    Steps,
    WorkItem,
    as_outcome,
    finish,
    put_back,
)

WORKFLOW = "tieline.work"
SYSTEM_POOL_MAX = 5
ERRORS_MAX = 12
_BACKOFF_FIRST_SECONDS = 1
_BACKOFF_SECONDS_MAX = 120
_LOOK_SECONDS = 0.1
_log = structlog.get_logger("tieline.durable")
_Result = TypeVar("_Result")
OnFailed = Callable[[Connection[Row], WorkItem, str], None]


class DurableSteps:
    """Run each named step as a DBOS step of the present workflow."""

    claim = None

    def run(self, name: str, function: Callable[[], _Result]) -> _Result:
        """Run a step; a run that lost its item stops here."""
        return DBOS.run_step(StepOptions(name=name), function)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSteps:
    """Run each named step of a handler that keeps in its own tables what came of it.

    To keep it a second time would cost as much as to do it; a run that lost its item stops here all the same.
    """

    database: Database
    item: WorkItem

    @property
    def claim(self) -> Claim:
        return Claim(work_id=self.item.work_id, workflow_id=self.item.workflow_id)

    def run(self, name: str, function: Callable[[], _Result]) -> _Result:
        """Run a step.

        :raises LeaseLost: the item is another run's by now.
        """
        with self.database.statement() as connection:
            held = connection.execute(
                "SELECT FROM work_item WHERE work_id = %s AND workflow_id = %s AND state = 'running'",
                (self.item.work_id, self.item.workflow_id),
            ).fetchone()
        if held is None:
            raise LeaseLost(f"{self.item.workflow_id} was taken over before {name}")
        return function()


def _ignore_failure(_connection: Connection[Row], _item: WorkItem, _reason: str) -> None:
    """Leave a failed item to whoever looks at the table."""


class DurableEngine:
    """Start and follow the runs of one process; DBOS allows one engine per process."""

    def __init__(
        self,
        *,
        worker_dsn: str,
        database: Database,
        handlers: Mapping[str, Handler],
        executor_id: str,
        threads_max: int,
        version: str = __version__,
        on_failed: OnFailed = _ignore_failure,
        keeps_steps: Collection[str] = (),
    ) -> None:
        self._database = database
        self._keeps_steps = frozenset(keeps_steps)
        self._handlers = dict(handlers)
        self._on_failed = on_failed
        self._active: dict[int, WorkItem] = {}
        self._lock = threading.Lock()
        self.finished = threading.Event()
        DBOS(config=_configuration(worker_dsn, executor_id, version, threads_max))
        self._workflow = DBOS.workflow(name=WORKFLOW)(self._make_workflow())

    def launch(self) -> None:
        """Start DBOS; its tables must have been migrated by the owner."""
        DBOS.launch()

    def close(self, *, wait_seconds: int) -> None:
        """Let running work end for so many seconds, then stop DBOS."""
        ends = time.monotonic() + wait_seconds
        while time.monotonic() < ends and any(
            item.kind in self._keeps_steps for item in self.active_items()
        ):
            self.finished.wait(_LOOK_SECONDS)
            self.finished.clear()
        left = max(0, round(ends - time.monotonic()))
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=left)

    @property
    def kinds(self) -> Sequence[str]:
        """Return the kinds of work that have a handler here."""
        return list(self._handlers)

    def active_items(self) -> list[WorkItem]:
        """Return the runs that this process is busy with."""
        with self._lock:
            return list(self._active.values())

    def start(self, item: WorkItem) -> None:
        """Start the run of a claimed item; if it cannot start, the item waits again."""
        with self._lock:
            self._active[item.work_id] = item
        try:
            if item.kind in self._keeps_steps:
                # A thread that dies with its process leaves what any death leaves: a row that somebody takes up.
                threading.Thread(
                    target=self._run_beside, args=(item,), name=item.workflow_id, daemon=True
                ).start()
                return
            with SetWorkflowID(item.workflow_id):
                DBOS.start_workflow(self._workflow, item.work_id)
        except Exception:
            self._forget(item)
            with self._database.transaction() as connection:
                put_back(connection, workflow_ids=[item.workflow_id], because="work.not_started")
            raise

    def cancel(self, workflow_ids: Sequence[str]) -> None:
        """Fence off runs: a cancelled one cannot record another step."""
        known = [status.workflow_id for status in _statuses(workflow_ids)]
        if known:
            DBOS.cancel_workflows(known)

    def _make_workflow(self) -> Callable[[int], str]:
        def run_work(work_id: int) -> str:
            with self._lock:
                item = self._active.get(work_id)
            if item is None or item.workflow_id != DBOS.workflow_id:
                # Not a run of this process: the watchdog puts its item back.
                return "unknown"
            return self._run(item)

        return run_work

    def _run_beside(self, item: WorkItem) -> None:
        try:
            self._run(item)
        except Exception:  # noqa: BLE001 - one run that cannot be recorded must not end in silence
            # Its end was not recorded: whoever looks for strays puts the item back.
            _log.exception("work.end_not_recorded", kind=item.kind, subject=item.subject)

    def _run(self, item: WorkItem) -> str:
        try:
            with correlated(item.correlation_id):
                outcome, error, hold = self._call(item)
                with self._database.transaction() as connection:
                    state = finish(connection, item=item, outcome=outcome, error=error, hold=hold)
                    self._note(connection, item, outcome, state, error)
            return state or "taken_over"
        finally:
            self._forget(item)

    def _call(self, item: WorkItem) -> tuple[Outcome, str | None, bool]:
        try:
            outcome = as_outcome(self._handlers[item.kind](self._steps_of(item), item.subject))
        except (TryAgain, LeaseLost, OperationalError) as error:
            return self._after_error(item, error, getattr(error, "retry_after_seconds", None))
        except AskPerson as error:
            return Failed(str(error)), None, False
        except Exception as error:  # noqa: BLE001 - a defect of one handler must not end the others
            _log.exception("work.defect", kind=item.kind, subject=item.subject)
            return self._after_error(item, error, None)
        return outcome, None, False

    def _steps_of(self, item: WorkItem) -> Steps:
        if item.kind in self._keeps_steps:
            return KeptSteps(database=self._database, item=item)
        return DurableSteps()

    def _after_error(
        self, item: WorkItem, error: Exception, retry_after_seconds: int | None
    ) -> tuple[Outcome, str | None, bool]:
        sentence = f"{type(error).__name__}: {error}"
        is_patient = isinstance(error, (TryAgain, LeaseLost, OperationalError))
        if not is_patient and item.errors + 1 >= ERRORS_MAX:
            return Failed(sentence), None, False
        wait = retry_after_seconds or backoff_seconds(errors=item.errors)
        return Again(due_in_seconds=wait), sentence, True

    def _note(
        self,
        connection: Connection[Row],
        item: WorkItem,
        outcome: Outcome,
        state: str | None,
        error: str | None,
    ) -> None:
        if state is None:
            word = "taken_over"
        elif error is not None:
            word = "error"
        else:
            word = _word(outcome)
        count_outcome(connection, connection_key="", operation=item.kind, outcome=word)
        if state == "failed" and isinstance(outcome, Failed):
            _log.error("work.failed", kind=item.kind, subject=item.subject, reason=outcome.reason)
            self._on_failed(connection, item, outcome.reason)
        elif error is not None and item.errors == 0:
            _log.warning("work.error", kind=item.kind, subject=item.subject, error=error)
        elif error is None and item.errors:
            _log.info("work.healed", kind=item.kind, subject=item.subject, errors=item.errors)

    def _forget(self, item: WorkItem) -> None:
        with self._lock:
            self._active.pop(item.work_id, None)
        self.finished.set()


def backoff_seconds(*, errors: int) -> int:
    """Return a wait with full jitter that doubles with every error, up to a cap."""
    ceiling = min(_BACKOFF_SECONDS_MAX, _BACKOFF_FIRST_SECONDS << min(errors, 16))
    return random.randint(1, max(1, ceiling))


def _word(outcome: Outcome) -> str:
    match outcome:
        case Done():
            return "done"
        case Again():
            return "again"
        case Failed():
            return "failed"


def _statuses(workflow_ids: Sequence[str]) -> list[Any]:
    if not workflow_ids:
        return []
    return cast(
        list[Any],
        DBOS.list_workflows(workflow_ids=list(workflow_ids), load_input=False, load_output=False),
    )


def _configuration(worker_dsn: str, executor_id: str, version: str, threads_max: int) -> DBOSConfig:
    return DBOSConfig(
        name="tieline",
        system_database_url=sqlalchemy_url(worker_dsn),
        sys_db_pool_size=SYSTEM_POOL_MAX,
        dbos_system_schema="dbos",
        application_version=version,
        executor_id=executor_id,
        serializer=DBOSPortableJSONSerializer(),
        run_migrations=False,
        max_executor_threads=threads_max + 4,
        notification_listener_polling_interval_sec=1,
        enable_otlp=False,
        log_level="WARNING",
    )
