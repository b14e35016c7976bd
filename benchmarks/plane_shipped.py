"""The product as a firm runs it: several processes side by side, each with a connection of its own.

One reads and lands, one judges and plans what has landed, two post: one for each legal entity. They meet
in the database alone, as workers do.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from typing import Any

from plane_firm import NOW, Firm
from plane_product import Plane, opened_worker, outcome_of, scope_of, settle_firm

from tieline.ledger import weigh
from tieline.posting.lines import Scope
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns

_SECONDS_MAX = 7200
_ENTITIES = ("E0", "E1")


def measure_shipped(firm: Firm, dsns: Dsns, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all processes until the last hour is booked, and return what came out."""
    settle_firm(firm, dsns)
    with opened_worker(dsns) as worker:
        Plane(worker, batch_lines_max=arguments.batch_lines_max).settle()
    context = multiprocessing.get_context("spawn")
    # A batch is judged when its marks are made, and a scope is posted when something was planned for it, as their
    # work items say.
    batches: Any = context.Queue()
    scopes: Any = {entity: context.Queue() for entity in _ENTITIES}
    begin = context.Barrier(5)
    sums: Any = context.Queue()
    shared = (dsns, arguments.batch_lines_max, begin)
    workers = [
        context.Process(target=_land, args=(*shared, firm, arguments.page_rows, batches)),
        context.Process(target=_judge, args=(*shared, batches, scopes)),
        *(
            context.Process(target=_post, args=(*shared, entity, scopes[entity], sums))
            for entity in _ENTITIES
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


def _judge(dsns: Dsns, lines_max: int, begin: Any, batches: Any, scopes: Any) -> None:
    with opened_worker(dsns, name="benchmark-judge") as worker:
        plane = Plane(worker, batch_lines_max=lines_max)
        begin.wait()
        for batch_id in iter(batches.get, None):
            for scope in plane.decide(batch_id).scopes:
                scopes[scope.entity_code].put(scope_of(scope))
    for each in scopes.values():
        each.put(None)


def _post(dsns: Dsns, lines_max: int, begin: Any, entity: str, scopes: Any, sums: Any) -> None:
    with opened_worker(dsns, name="benchmark-post") as worker:
        plane = Plane(worker, batch_lines_max=lines_max)
        begin.wait()
        for scope in iter(scopes.get, None):
            plane.post(scope)
        # What was held back by hours that were landed and not judged yet is found by the safety net.
        for scope in _left(worker, entity):
            plane.post(scope)
    sums.put((plane.target.lines, plane.target.seconds))


def _left(worker: Database, entity: str) -> list[Scope]:
    with worker.transaction() as connection:
        weights = weigh(connection, now=NOW)
    return [scope_of(each) for each in weights if each.entity_code == entity]
