"""The product as a firm runs it: several processes side by side, each with a connection of its own.

One reads and lands, one judges and plans what has landed, two post: one for each legal entity. They meet
in the database alone, as workers do.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from typing import Any

from plane_firm import Firm
from plane_product import Plane, opened_worker, outcome_of, settle_firm

from tieline.posting.lines import Scope
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns

_IDLE_SECONDS = 0.02
_SECONDS_MAX = 7200
_OPEN_SCOPES = (
    "SELECT DISTINCT target_connection, entity_code, period_id FROM effect"
    " WHERE noun = 'time_line' AND entity_code = %s"
    " AND state NOT IN ('CONFIRMED', 'REJECTED', 'WITHDRAWN')"
)


def measure_shipped(firm: Firm, dsns: Dsns, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all processes until the last hour is booked, and return what came out."""
    settle_firm(firm, dsns)
    with opened_worker(dsns) as worker:
        Plane(worker, batch_lines_max=arguments.batch_lines_max).settle()
    context = multiprocessing.get_context("spawn")
    is_judged = context.Event()
    # A batch is judged when its marks are made, as the work item of a batch says.
    batches: Any = context.Queue()
    begin = context.Barrier(5)
    sums: Any = context.Queue()
    shared = (dsns, arguments.batch_lines_max, begin)
    workers = [
        context.Process(target=_land, args=(*shared, firm, arguments.page_rows, batches)),
        context.Process(target=_judge, args=(*shared, batches, is_judged)),
        *(
            context.Process(target=_post, args=(*shared, entity, is_judged, sums))
            for entity in ("E0", "E1")
        ),
    ]
    for each in workers:
        each.start()
    begin.wait()
    started = time.perf_counter()
    for each in workers:
        each.join(_SECONDS_MAX)
    seconds = time.perf_counter() - started
    if any(each.exitcode != 0 for each in workers):
        raise RuntimeError("a process of the benchmark did not come to its end")
    posted = [sums.get() for _ in range(2)]
    with opened_worker(dsns) as worker, worker.transaction() as connection:
        outcome = outcome_of(
            connection,
            target_lines=sum(lines for lines, _ in posted),
            target_seconds=sum(seconds for _, seconds in posted),
        )
    return {
        "processes": len(workers),
        "seconds_total": round(seconds, 3),
        "entries_per_second": round(firm.entries / seconds),
        **outcome,
    }


def _land(dsns: Dsns, lines_max: int, begin: Any, firm: Firm, page_rows: int, batches: Any) -> None:
    with opened_worker(dsns, name="benchmark-land") as worker:
        plane = Plane(worker, batch_lines_max=lines_max)
        begin.wait()
        for page in firm.pages(rows=page_rows):
            batches.put(plane.take_in(page))
    batches.put(None)


def _judge(dsns: Dsns, lines_max: int, begin: Any, batches: Any, is_judged: Event) -> None:
    with opened_worker(dsns, name="benchmark-judge") as worker:
        plane = Plane(worker, batch_lines_max=lines_max)
        begin.wait()
        for batch_id in iter(batches.get, None):
            plane.decide(batch_id)
    is_judged.set()


def _post(dsns: Dsns, lines_max: int, begin: Any, entity: str, is_judged: Event, sums: Any) -> None:
    with opened_worker(dsns, name="benchmark-post") as worker:
        plane = Plane(worker, batch_lines_max=lines_max)
        begin.wait()
        until_done(lambda: _post_open(worker, plane, entity), is_over=is_judged)
    sums.put((plane.target.lines, plane.target.seconds))


def _post_open(worker: Database, plane: Plane, entity: str) -> bool:
    with worker.transaction() as connection:
        rows = connection.execute(_OPEN_SCOPES, (entity,)).fetchall()
    for row in rows:
        plane.post(Scope(**row))
    return bool(rows)


def until_done(step: Callable[[], bool], *, is_over: Event) -> None:
    """Repeat a step; end when nothing was left after those before had ended."""
    while True:
        was_over = is_over.is_set()
        if not step():
            if was_over:
                return
            time.sleep(_IDLE_SECONDS)
