"""The server is told of tables that grew, whatever it forgot, and looks at few rows of those that are large."""

from __future__ import annotations

from datetime import date

import pytest

from tieline.runtime.database import Database
from tieline.runtime.housekeeping import keep_raw_partitions, take_statistics

pytestmark = pytest.mark.sql


def _believed(database: Database, table: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT reltuples::bigint AS rows FROM pg_class WHERE oid = %s::regclass",
            (f"tieline.{table}",),
        ).fetchone()
    assert row is not None
    return int(row["rows"])


def _add_marks(database: Database, first: int, count: int) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO dirty_mark (connection_key, object, source_ref, marked_at, correlation_id)"
            " SELECT 'crm', 'deals', repeat('x', 60) || n, now(), 'x' FROM generate_series(%s::int, %s::int) n",
            (first, first + count - 1),
        )


def test_statistics_are_taken_of_what_grew_fourfold_and_of_nothing_else(
    worker_database: Database,
) -> None:
    with worker_database.transaction() as connection:
        connection.execute(
            "INSERT INTO connection (connection_key, system, kind) VALUES ('crm', 'hubspot', 'crm')"
        )
    take_statistics(worker_database)
    _add_marks(worker_database, 1, 5_000)
    before = _believed(worker_database, "dirty_mark")

    assert "dirty_mark" in take_statistics(worker_database)
    assert before != 5_000
    assert _believed(worker_database, "dirty_mark") == 5_000

    _add_marks(worker_database, 5_001, 5_000)
    assert take_statistics(worker_database) == []
    _add_marks(worker_database, 10_001, 15_000)
    assert "dirty_mark" in take_statistics(worker_database)
    assert _believed(worker_database, "dirty_mark") == 25_000


def test_few_rows_are_looked_at_of_tables_that_grow_by_the_hundred_thousand(
    worker_database: Database,
) -> None:
    keep_raw_partitions(worker_database, today=date(2028, 1, 1), keep_days=400)

    with worker_database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT a.attrelid::regclass::text AS bulk, max(coalesce(nullif(a.attstattarget, -1), 100)) AS target
            FROM pg_attribute a
            WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (
                SELECT unnest(ARRAY['narrative', 'time_entry', 'time_entry_version', 'verdict', 'effect']::regclass[])
                UNION ALL SELECT relid FROM pg_partition_tree('raw_record')
                UNION ALL SELECT relid FROM pg_partition_tree('ledger_line'))
            GROUP BY 1
            """
        ).fetchall()

    assert {"verdict", "ledger_line_other", "raw_record_20280101"} <= {row["bulk"] for row in rows}
    assert {row["target"] for row in rows} == {20}
