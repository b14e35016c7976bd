"""The product doing the whole job: a process that reads, one that judges and plans, one that posts per legal entity.

They meet in the database alone, as workers do. Each runs the services of the product as its workers run them,
without the queue of work between them.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from plane_firm import SOURCE, Firm
from sync_source import STREAM

from tieline.app import open_system
from tieline.posting.lines import Scope
from tieline.runtime.work import AtOnce, Done
from tieline.services.system import System
from tieline.services.workday import Workday
from tieline.settings import Settings

ENTITIES = ("E0", "E1")
_IDLE_SECONDS = 0.02
_SECONDS_MAX = 7200
_MEGABYTE = 1024
_LANDED = (
    "SELECT subject FROM work_item WHERE kind = 'judge_batch' AND subject::bigint > %s"
    " ORDER BY subject::bigint"
)
_OPEN = (
    "SELECT DISTINCT target_connection, entity_code, period_id FROM unsettled_effect"
    " WHERE noun = 'time_line' AND entity_code = %s"
    " AND state NOT IN ('CONFIRMED', 'REJECTED', 'WITHDRAWN')"
)


def run_product(settings: Settings, *, firm: Firm) -> dict[str, Any]:
    """Start the processes, let them begin together, and return when the last line is booked."""
    context = multiprocessing.get_context("spawn")
    is_read, is_judged = context.Event(), context.Event()
    begin = context.Barrier(2 + len(ENTITIES) + 1)
    figures: Any = context.Queue()
    workers = [
        context.Process(target=_read, args=(settings, begin, figures, is_read)),
        context.Process(target=_judge, args=(settings, begin, figures, is_read, is_judged)),
        *(
            context.Process(target=_post, args=(settings, begin, figures, entity, is_judged))
            for entity in ENTITIES
        ),
    ]
    for each in workers:
        each.start()
    begin.wait()
    started = time.perf_counter()
    told = dict(figures.get(timeout=_SECONDS_MAX) for _ in workers)
    for each in workers:
        each.join(_SECONDS_MAX)
    if any(each.exitcode != 0 for each in workers):
        raise RuntimeError("a process of the benchmark did not come to its end")
    total = max(each["ended"] for each in told.values()) - started
    return {
        "processes": len(workers),
        "seconds_total": round(total, 3),
        "entries_per_second": round(firm.entries / total),
        "by_process": {
            name: {
                "ended_after_seconds": round(each["ended"] - started, 3),
                "processor_seconds": each["processor_seconds"],
                "peak_memory_megabytes": each["peak_memory_megabytes"],
            }
            for name, each in sorted(told.items())
        },
    }


def _read(settings: Settings, begin: Any, figures: Any, is_read: Any) -> None:
    system = open_system(settings)
    watch = _Watch.begun(begin)
    result = system.reader.poll(
        connection_key=SOURCE, stream=STREAM, is_full=False, correlation_id="benchmark"
    )
    if result.problem:
        raise RuntimeError(result.problem)
    is_read.set()
    watch.tell(figures, "read")


def _judge(settings: Settings, begin: Any, figures: Any, is_read: Any, is_judged: Any) -> None:
    system = open_system(settings)
    handlers = Workday(system=system).handlers()
    newest = [0]

    def judge_landed() -> bool:
        with system.database.transaction() as connection:
            rows = connection.execute(_LANDED, (newest[0],)).fetchall()
        for row in rows:
            handlers["judge_batch"](AtOnce(), row["subject"])
            newest[0] = int(row["subject"])
        return bool(rows)

    watch = _Watch.begun(begin)
    _until_done(judge_landed, is_over=is_read)
    while not isinstance(handlers["judge_waiting"](AtOnce(), "all"), Done):
        continue
    is_judged.set()
    watch.tell(figures, "judge")


def _post(settings: Settings, begin: Any, figures: Any, entity: str, is_judged: Any) -> None:
    system = open_system(settings)
    post_lines = Workday(system=system).handlers()["post_lines"]
    watch = _Watch.begun(begin)
    _until_done(lambda: _post_open(system, post_lines, entity), is_over=is_judged)
    watch.tell(figures, f"post {entity}")


def _post_open(system: System, post_lines: Callable[..., Any], entity: str) -> bool:
    with system.database.transaction() as connection:
        rows = connection.execute(_OPEN, (entity,)).fetchall()
    for row in rows:
        post_lines(AtOnce(), Scope(**row).subject)
    return bool(rows)


def _until_done(step: Callable[[], bool], *, is_over: Any) -> None:
    """Repeat a step; end when nothing was left after those before had ended."""
    while True:
        was_over = is_over.is_set()
        if not step():
            if was_over:
                return
            time.sleep(_IDLE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Watch:
    """What a process used since all began together; to start and import is not the job."""

    processor_seconds: float

    @classmethod
    def begun(cls, begin: Any) -> _Watch:
        begin.wait()
        return cls(_processor_seconds())

    def tell(self, figures: Any, name: str) -> None:
        figures.put(
            (
                name,
                {
                    "ended": time.perf_counter(),
                    "processor_seconds": round(_processor_seconds() - self.processor_seconds, 3),
                    "peak_memory_megabytes": round(
                        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE
                    ),
                },
            )
        )


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
