"""What little costs: one hour at the door, and a change of one hour in a hundred."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from plane_firm import NOW, SOURCE, Firm, Hour
from plane_product import Plane

from tieline.runtime.database import Database
from tieline.validation import Candidate, preview

_TIMES = 60
_PART = 100
_QUARTER = 25
_CANDIDATE = Candidate(
    connection_key=SOURCE,
    source_ref="at-the-door",
    person_ref="0",
    project_ref="0",
    task_ref="0/1",
    labor_category=None,
    work_date=date(2026, 10, 5),
    seconds=3600,
    is_billable=True,
    is_approved=True,
    narrative_length=40,
)


def measure_door(worker: Database) -> dict[str, Any]:
    """Judge one hour that is not stored, and look up one that is, on the same connection."""
    with worker.transaction() as connection:
        row = connection.execute("SELECT entry_id FROM time_entry LIMIT 1").fetchone()
        assert row is not None
        bare = _median(
            lambda: connection.execute(
                "SELECT * FROM time_entry WHERE entry_id = %s", (row["entry_id"],)
            ).fetchone()
        )
        door = _median(lambda: preview(connection, entries=[_CANDIDATE], now=NOW))
    return {
        "microseconds": round(door * 1_000_000),
        "bare_query_microseconds": round(bare * 1_000_000),
        "ratio": round(door / bare, 1),
    }


def measure_change(plane: Plane, firm: Firm) -> dict[str, Any]:
    """Change one hour in a hundred, all over the firm, and judge what that concerns."""
    full = plane.watch.seconds["mark"] + plane.watch.seconds["judge"]
    changed = [
        replace(hour, hundredths=hour.hundredths + _QUARTER)
        for hour in _every(firm)
        if hour.number % _PART == 1
    ]
    batch_id = plane.take_in(changed)
    plane.decide(batch_id)
    again = plane.watch.seconds["mark"] + plane.watch.seconds["judge"] - full
    return {
        "entries": len(changed),
        "seconds": round(again, 3),
        "full_seconds": round(full, 3),
        "share_of_full": round(again / full, 4),
    }


def _every(firm: Firm) -> Iterator[Hour]:
    pages: Iterator[Sequence[Hour]] = firm.pages(rows=5_000)
    for page in pages:
        yield from page


def _median(ask: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
