"""Find executors that are gone, fence off their runs and let their work wait again."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import structlog
from psycopg import Connection

from tieline.kernel.clock import Clock
from tieline.kernel.failpoints import failpoint
from tieline.runtime.database import Database, Row
from tieline.runtime.durable import DurableEngine
from tieline.runtime.executor import host_name
from tieline.runtime.outbox import publish
from tieline.runtime.outcomes import count_outcome
from tieline.runtime.postgres import process_start_ticks
from tieline.runtime.sql import load
from tieline.runtime.work import put_back

_LOST = load("tieline.runtime", "find_lost_executors")
_LOCK = load("tieline.runtime", "lock_lost_executor")
_RUNS_OF = load("tieline.runtime", "find_runs_of_executor")
_ORPHANS = load("tieline.runtime", "find_orphan_runs")
_log = structlog.get_logger("tieline.watchdog")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """Adopt the work of the dead; every worker runs one, and a row lock lets one of them win."""

    database: Database
    engine: DurableEngine
    executor_id: str
    clock: Clock

    def look(self) -> int:
        """Adopt what lost executors and older versions left; return how many runs were put back."""
        adopted = 0
        while (found := self._adopt_one_executor()) is not None:
            adopted += found
        return adopted + self._adopt_orphans()

    def _adopt_one_executor(self) -> int | None:
        with self.database.transaction() as connection:
            lost = self._find_lost(connection)
            if lost is None:
                return None
            self._end_process(lost)
            workflow_ids = [
                row["workflow_id"]
                for row in connection.execute(_RUNS_OF, {"id": lost["executor_id"]}).fetchall()
            ]
            # Fence first: a run that lost its item must not record another step.
            self.engine.cancel(workflow_ids)
            failpoint("watchdog.after_cancel")
            items = put_back(connection, workflow_ids=workflow_ids, because="executor.lost")
            self._expire_leases(connection, lost["executor_id"])
            self._record(connection, lost, len(items))
        _log.warning("executor.lost", executor_id=lost["executor_id"], adopted=len(items))
        return len(items)

    def _find_lost(self, connection: Connection[Row]) -> Row | None:
        rows = connection.execute(_LOST, {"host": host_name(), "me": self.executor_id}).fetchall()
        for row in rows:
            if row["has_run_out"] or not _is_alive(row):
                given = {"id": row["executor_id"], "has_run_out": row["has_run_out"]}
                if connection.execute(_LOCK, given).fetchone() is not None:
                    return row
        return None

    def _end_process(self, lost: Row) -> None:
        # A paused process would wake up and go on; on our own host it is ended first.
        if lost["is_here"] and lost["pid"] != os.getpid() and _is_alive(lost):
            os.kill(lost["pid"], signal.SIGKILL)

    def _expire_leases(self, connection: Connection[Row], executor_id: str) -> None:
        connection.execute(
            """
            UPDATE lease SET epoch = epoch + 1, holder = '', until = clock_timestamp()
            WHERE holder = %s
            """,
            (executor_id,),
        )
        # Nor does it call anybody any more: what it was calling is free for who comes after it.
        connection.execute(
            "UPDATE connection_slot SET until = '-infinity' WHERE holder = %s AND until > '-infinity'",
            (executor_id,),
        )

    def _record(self, connection: Connection[Row], lost: Row, adopted: int) -> None:
        connection.execute(
            "UPDATE executor SET state = 'lost' WHERE executor_id = %s", (lost["executor_id"],)
        )
        count_outcome(connection, connection_key="", operation="executor", outcome="lost")
        now = self.clock.now()
        publish(
            connection,
            type="runtime.executor_lost",
            subject_kind="executor",
            subject_id=lost["executor_id"],
            entity_code=None,
            occurred_at=now,
            recorded_at=now,
            correlation_id=lost["executor_id"],
            data={"adopted": adopted, "version": lost["version"]},
        )

    def _adopt_orphans(self) -> int:
        """Adopt runs whose executor is not alive: stopped, of an older version, or never known."""
        with self.database.transaction() as connection:
            workflow_ids = [row["workflow_id"] for row in connection.execute(_ORPHANS).fetchall()]
            if not workflow_ids:
                return 0
            self.engine.cancel(workflow_ids)
            items = put_back(connection, workflow_ids=workflow_ids, because="executor.stopped")
            count_outcome(
                connection,
                connection_key="",
                operation="executor",
                outcome="orphans_adopted",
                by=len(workflow_ids),
            )
        _log.info("work.adopted", runs=len(workflow_ids), items=len(items))
        return len(items)


def _is_alive(row: Row) -> bool:
    return not row["is_here"] or process_start_ticks(row["pid"]) == row["pid_started"]
