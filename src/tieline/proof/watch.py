"""Wait for what the workers do, seen from outside: by the views and tables, never by their logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from tieline.kernel.errors import TryAgain
from tieline.runtime.database import Database

_POLL_SECONDS = 0.25
_QUIET_KINDS = ("judge_batch", "judge_waiting", "post_lines", "provision")

Progress = Callable[[str], None]


def wait_for(
    what: str,
    is_true: Callable[[], bool],
    *,
    seconds_max: float,
    progress: Progress,
    tell: Callable[[], str] | None = None,
) -> None:
    """Wait until something holds, telling now and then how far it is.

    :raises TryAgain: it did not come true in time.
    """
    deadline = time.monotonic() + seconds_max
    told = time.monotonic()
    while not is_true():
        if time.monotonic() > deadline:
            state = f" ({tell()})" if tell else ""
            raise TryAgain(f"{what} did not happen within {seconds_max:.0f} s{state}")
        if tell and time.monotonic() - told > 5:
            progress(f"  {what}: {tell()}")
            told = time.monotonic()
        time.sleep(_POLL_SECONDS)


def pause(seconds: int) -> None:
    """Let some time pass."""
    time.sleep(seconds)


def count(database: Database, statement: str, *values: Any) -> int:
    """Return the one number a statement asks for."""
    with database.transaction() as connection:
        row = connection.execute(statement, values).fetchone()
    assert row is not None
    return int(next(iter(row.values())) or 0)


def is_quiet(database: Database) -> bool:
    """Say whether no work runs or may run, nothing is to be judged, and no write is open."""
    return not moving(database)


def moving(database: Database) -> dict[str, int]:
    """Count what is still moving, by what it is."""
    with database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT kind || ' ' || state AS what, count(*) AS things FROM work_item
            WHERE state IN ('waiting', 'running') AND kind = ANY (%s) GROUP BY 1
            UNION ALL SELECT 'to judge', count(*) FROM rejudge HAVING count(*) > 0
            UNION ALL SELECT 'batches of ' || connection_key || ' ' || stream || ' landing', count(*)
            FROM intake_batch WHERE state = 'landing' GROUP BY connection_key, stream
            UNION ALL SELECT noun || ' ' || state, count(*) FROM unsettled_effect
            WHERE state IN ('PLANNED', 'INTENT', 'UNKNOWN', 'PROBING', 'ABSENT') GROUP BY noun, state
            """,
            (list(_QUIET_KINDS),),
        ).fetchall()
    return {row["what"]: int(row["things"]) for row in rows}


def plan_states(database: Database) -> dict[str, int]:
    """Count provisioning plans by state."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT state, count(*) AS plans FROM provisioning_plan GROUP BY 1"
        ).fetchall()
    return {row["state"]: int(row["plans"]) for row in rows}


def place_counts(database: Database) -> dict[str, int]:
    """Count entries by place."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT place, count(*) AS entries FROM entry_places GROUP BY 1"
        ).fetchall()
    return {row["place"]: int(row["entries"]) for row in rows}


def in_words(counts: Mapping[str, int]) -> str:
    """Say counts in one line."""
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "nothing"
