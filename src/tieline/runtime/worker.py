"""A worker process: dispatch, heartbeat, watchdog and scheduled jobs in a bounded set of threads."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType

import structlog
from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from tieline import __version__
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TielineError, TryAgain
from tieline.runtime.database import Database
from tieline.runtime.durable import DurableEngine, OnFailed, _ignore_failure
from tieline.runtime.executor import LEASE_SECONDS, Executor, new_executor_id
from tieline.runtime.leases import Fence, Lease, Leases
from tieline.runtime.outcomes import count_outcome
from tieline.runtime.telemetry import correlated, new_correlation_id
from tieline.runtime.watchdog import Watchdog
from tieline.runtime.work import Handler, Turns, claim, due_kinds, put_back

EXIT_LOST = 75
_SLOTS_MAX = 6
_RESERVED_SLOTS = 2
_IDLE_SECONDS = 0.25
_HEARTBEAT_SECONDS = 4
_WATCHDOG_SECONDS = 2
_JOB_THREADS_MAX = 12
_JOB_LEASE_SECONDS = 120
_JOB_RENEW_SECONDS = 30
_STOP_SECONDS_MAX = 10
_STRAY_SECONDS = 15
_log = structlog.get_logger("tieline.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What some worker does every so many seconds, one worker at a time.

    What looks over all there is takes longer the more there is: it rests ``rest_times`` as long as it
    took, so that the work itself keeps its share of the machine.
    """

    name: str
    interval_seconds: int
    function: Callable[[], object]
    rest_times: int = 0


@dataclass(slots=True, kw_only=True)
class _JobState:
    next_at: float = 0
    rest_seconds: int = 0
    is_broken: bool = False
    is_busy: bool = False
    lease: Lease | None = None
    renew_at: float = 0


class Worker:
    """Run waiting work until told to stop."""

    def __init__(
        self,
        *,
        worker_dsn: str,
        database: Database,
        handlers: Mapping[str, Handler],
        jobs: Sequence[Job],
        clock: Clock,
        executor_id: str | None = None,
        version: str = __version__,
        slots_max: int = _SLOTS_MAX,
        own_slots: Mapping[str, int] | None = None,
        keeps_steps: Collection[str] = (),
        lease_seconds: int = LEASE_SECONDS,
        on_failed: OnFailed = _ignore_failure,
        fence: Fence | None = None,
    ) -> None:
        self.executor_id = executor_id or new_executor_id()
        self._database = database
        self._jobs = tuple(jobs)
        self._slots_max = slots_max
        self._clock = clock
        # What waits for other systems most of its time holds up nothing else: so many runs at once, beside the rest.
        self._own_slots = dict(own_slots or {})
        self._turns = {kind: Turns() for kind in ("", *self._own_slots)}
        self._stop = threading.Event()
        self._exit_code = 0
        # A connection of its own: a full pool or a slow lock is no sign of death.
        self._heartbeat_database = Database(
            worker_dsn,
            pool_max=1,
            application_name="tieline-heartbeat",
            statement_timeout_seconds=_HEARTBEAT_SECONDS,
            lock_timeout_seconds=_HEARTBEAT_SECONDS,
            wait_seconds=_HEARTBEAT_SECONDS,
        )
        self._executor = Executor(
            database=self._heartbeat_database,
            executor_id=self.executor_id,
            version=version,
            lease_seconds=lease_seconds,
            fence=fence or Fence(),
        )
        self.leases = Leases(database=database, holder=self.executor_id)
        self._engine = DurableEngine(
            worker_dsn=worker_dsn,
            database=database,
            handlers=handlers,
            executor_id=self.executor_id,
            threads_max=slots_max + sum(self._own_slots.values()),
            version=version,
            on_failed=on_failed,
            keeps_steps=keeps_steps,
        )
        self._watchdog = Watchdog(
            database=database, engine=self._engine, executor_id=self.executor_id, clock=clock
        )

    def run(self) -> int:
        """Work until ``stop`` or SIGTERM; return the exit code, 75 when declared lost."""
        self._listen_to_signals()
        self._executor.register()
        self._engine.launch()
        threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                ("heartbeat", self._heartbeat),
                ("watchdog", self._watch),
                ("jobs", self._run_jobs),
            )
        ]
        for thread in threads:
            thread.start()
        _log.info("worker.started", executor_id=self.executor_id)
        self._repeat(self._dispatch, pause=self._pause)
        self._engine.close(wait_seconds=_STOP_SECONDS_MAX if self._engine.active_items() else 0)
        # A beat under way must not find itself gone.
        threads[0].join(_HEARTBEAT_SECONDS)
        if self._exit_code == 0:
            self._executor.leave()
        self._heartbeat_database.close()
        _log.info("worker.stopped", executor_id=self.executor_id)
        return self._exit_code

    def stop(self) -> None:
        """Ask the worker to end after what it is doing."""
        self._stop.set()
        self._engine.finished.set()

    # -- loops -----------------------------------------------------------------------------------

    def _repeat(self, function: Callable[[], object], *, pause: Callable[[], None]) -> None:
        """Repeat until stopped; say once when it breaks and once when it heals."""
        is_broken = False
        while not self._stop.is_set():
            try:
                function()
            except (DatabaseError, PoolTimeout, TielineError) as error:
                if not is_broken:
                    _log.warning("worker.loop_broken", loop=function.__name__, error=str(error))
                is_broken = True
            else:
                if is_broken:
                    _log.info("worker.loop_healed", loop=function.__name__)
                is_broken = False
            pause()

    def _pause(self) -> None:
        self._engine.finished.wait(_IDLE_SECONDS)
        self._engine.finished.clear()

    def _dispatch(self) -> None:
        with self._database.statement() as connection:
            due = due_kinds(connection, kinds=self._engine.kinds)
        if not due:
            return
        active = self._engine.active_items()
        shared = [item for item in active if item.kind not in self._own_slots]
        low_active = sum(item.work_class >= 2 for item in shared)
        self._start(
            "",
            kinds=sorted(due - self._own_slots.keys()),
            free=self._slots_max - len(shared),
            low_slots=max(1, self._slots_max - _RESERVED_SLOTS) - low_active,
            kind_slots=max(1, self._slots_max // 2),
        )
        for kind, slots in self._own_slots.items():
            if kind not in due:
                continue
            free = slots - sum(item.kind == kind for item in active)
            self._start(kind, kinds=[kind], free=free, low_slots=free, kind_slots=slots)

    def _start(
        self, turns: str, *, kinds: Sequence[str], free: int, low_slots: int, kind_slots: int
    ) -> None:
        if free <= 0 or not kinds:
            return
        with self._database.statement() as connection:
            items = claim(
                connection,
                executor_id=self.executor_id,
                kinds=kinds,
                slots=free,
                low_slots=low_slots,
                kind_slots=kind_slots,
                turns=self._turns[turns],
                now=self._clock.now(),
            )
        for item in items:
            self._engine.start(item)

    def _heartbeat(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(_HEARTBEAT_SECONDS):
            try:
                self._executor.beat()
                last = time.monotonic()
            except TryAgain as error:
                _log.error("worker.lost", executor_id=self.executor_id, error=str(error))
                self._exit_code = EXIT_LOST
                self.stop()
            except (DatabaseError, PoolTimeout) as error:
                silent_seconds = int(time.monotonic() - last)
                _log.warning("worker.heartbeat_failed", seconds=silent_seconds, error=str(error))

    def _watch(self) -> None:
        def look() -> None:
            self._watchdog.look()
            self._put_back_strays()

        self._repeat(look, pause=lambda: _wait(self._stop, _WATCHDOG_SECONDS))

    def _put_back_strays(self) -> None:
        # An item that is ours and running, yet no thread of ours runs it: its end was not recorded.
        with self._database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT work_id, workflow_id FROM work_item
                WHERE state = 'running' AND executor_id = %s
                  AND updated_at < clock_timestamp() - make_interval(secs => %s)
                """,
                (self.executor_id, _STRAY_SECONDS),
            ).fetchall()
            active = {item.workflow_id for item in self._engine.active_items()}
            strays = [row["workflow_id"] for row in rows if row["workflow_id"] not in active]
            if strays:
                self._engine.cancel(strays)
                put_back(connection, workflow_ids=strays, because="work.end_not_recorded")

    # -- jobs ------------------------------------------------------------------------------------

    def _run_jobs(self) -> None:
        states = {job.name: _JobState() for job in self._jobs}
        threads = max(1, min(len(self._jobs), _JOB_THREADS_MAX))
        with ThreadPoolExecutor(threads, thread_name_prefix="job") as pool:
            while not self._stop.wait(_IDLE_SECONDS):
                for job in self._jobs:
                    state = states[job.name]
                    if not state.is_busy and time.monotonic() >= state.next_at:
                        state.is_busy = True
                        pool.submit(self._run_job, job, state)
                    self._renew(state)

    def _run_job(self, job: Job, state: _JobState) -> None:
        state.rest_seconds = job.interval_seconds
        try:
            self._run_job_alone(job, state)
        except Exception as error:  # noqa: BLE001 - one broken job must not end the others
            if not state.is_broken:
                _log.exception("job.broken", job=job.name, error=str(error))
            state.is_broken = True
        else:
            if state.is_broken:
                _log.info("job.healed", job=job.name)
            state.is_broken = False
        finally:
            state.next_at = time.monotonic() + state.rest_seconds
            state.is_busy = False

    def _run_job_alone(self, job: Job, state: _JobState) -> None:
        lease = self.leases.acquire(name=f"job:{job.name}", ttl_seconds=_JOB_LEASE_SECONDS)
        if lease is None:
            return
        state.renew_at = time.monotonic() + _JOB_RENEW_SECONDS
        state.lease = lease
        began = time.monotonic()
        outcome = "error"
        try:
            with correlated(new_correlation_id()):
                job.function()
            outcome = "done"
        finally:
            state.lease = None
            took = round(time.monotonic() - began)
            state.rest_seconds = max(job.interval_seconds, job.rest_times * took)
            # The rest keeps the other workers from doing it again before it is due.
            self.leases.release(lease, rest_seconds=max(0, state.rest_seconds - 1))
            with self._database.transaction() as connection:
                count_outcome(
                    connection, connection_key="", operation=f"job:{job.name}", outcome=outcome
                )

    def _renew(self, state: _JobState) -> None:
        lease = state.lease
        if lease is None or time.monotonic() < state.renew_at:
            return
        state.renew_at = time.monotonic() + _JOB_RENEW_SECONDS
        try:
            self.leases.renew(lease, ttl_seconds=_JOB_LEASE_SECONDS)
        except (DatabaseError, PoolTimeout) as error:
            _log.warning("job.lease_not_renewed", lease=lease.name, error=str(error))

    def _listen_to_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def end(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)


def _wait(event: threading.Event, seconds: int) -> None:
    event.wait(seconds)
