"""Remove finished runs and answers nobody repeats, and let the server know how large its tables are."""

from __future__ import annotations

from datetime import date

from tieline.runtime.database import Database
from tieline.runtime.sql import load

KEEP_SECONDS = 86_400
_PARTITIONS = "SELECT tieline.keep_raw_partitions(%(today)s, %(keep_days)s) AS dropped"
_STATISTICS = "SELECT tieline.take_statistics() AS grown"
_BATCH_MAX = 5000
_RUNS = load("tieline.runtime", "purge_runs")
_WORK = load("tieline.runtime", "purge_work")
_EXECUTORS = load("tieline.runtime", "purge_executors")
_ANSWERS = load("tieline.runtime", "purge_answers")
_OUTBOX = load("tieline.runtime", "purge_outbox")


def purge(database: Database, *, keep_seconds: int = KEEP_SECONDS) -> int:
    """Remove what ended or was answered so long ago; failed work stays. Return the rows."""
    values = {"keep_seconds": keep_seconds, "batch_max": _BATCH_MAX}
    removed = 0
    for statement in (_RUNS, _WORK, _EXECUTORS, _ANSWERS, _OUTBOX):
        with database.transaction() as connection:
            removed += connection.execute(statement, values).rowcount
    return removed


def keep_raw_partitions(database: Database, *, today: date, keep_days: int) -> int:
    """Make the days to come a place for what sources send, and drop what is older than it may be.

    Return how many days went.
    """
    with database.transaction() as connection:
        row = connection.execute(_PARTITIONS, {"today": today, "keep_days": keep_days}).fetchone()
    assert row is not None
    return int(row["dropped"])


def take_statistics(database: Database) -> list[str]:
    """Let the server look at every table that grew fourfold since it last did; return which those were."""
    looked: list[str] = []
    while True:
        # Each by itself: a table is locked against nothing but another look at it, and not for long.
        with database.transaction() as connection:
            row = connection.execute(_STATISTICS).fetchone()
        assert row is not None
        if row["grown"] is None or row["grown"] in looked:
            return looked
        looked.append(row["grown"])
