"""The second peer, run by a Python that has dlt: dlt loads the hours, then SQL judges and books them in sets.

It is given the dsn of a database that has the reference data, and a folder of pages with one record a
line, as bytes of the vendor; it prints its figures as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import psycopg2

_TABLES = """
CREATE TABLE verdict (source_ref bigint PRIMARY KEY, outcome text NOT NULL, reasons text[] NOT NULL, project bigint,
    work_date date, seconds integer, rate_amount numeric, amount numeric, currency text);
CREATE TABLE effect (business_key uuid PRIMARY KEY, source_ref bigint NOT NULL REFERENCES verdict, state text NOT NULL);
CREATE TABLE ledger (business_key uuid PRIMARY KEY REFERENCES effect, source_ref bigint NOT NULL, project bigint,
    work_date date, seconds integer NOT NULL, rate_amount numeric, amount numeric, currency text);
"""

_JUDGE = """
INSERT INTO verdict
SELECT id, CASE WHEN NOT is_locked THEN 'outside' WHEN reasons = '{}' THEN 'cleared' ELSE 'held' END, reasons,
       project__id, work_date, seconds, rate_amount, round(seconds * rate_amount / 3600, 2), currency
FROM (
    SELECT *, array_remove(ARRAY[
        CASE WHEN locked_reason IS DISTINCT FROM 'Item Approved and Locked for this Time Period' THEN 'approval_unknown' END,
        CASE WHEN person IS NULL THEN 'person_unknown' END,
        CASE WHEN project IS NULL THEN 'project_unknown' END,
        CASE WHEN employed_on > work_date THEN 'person_not_employed' END,
        CASE WHEN person_entity <> entity THEN 'employee_record_missing' END,
        CASE WHEN leave @> work_date THEN 'on_leave' END,
        CASE WHEN person IS NOT NULL AND labor_category IS NULL THEN 'labor_category_missing' END,
        CASE WHEN status <> 'active' OR NOT accepts_time THEN 'project_not_active' END,
        CASE WHEN work_date < starts_on OR work_date >= ends_on THEN 'outside_project_dates' END,
        CASE WHEN NOT client_is_active THEN 'client_inactive' END,
        CASE WHEN NOT contract_is_active THEN 'contract_not_active' END,
        CASE WHEN work_date < contract_starts_on OR work_date >= contract_ends_on THEN 'outside_contract_dates' END,
        CASE WHEN is_purchase_order_required AND purchase_order IS NULL THEN 'purchase_order_missing' END,
        CASE WHEN task IS NULL THEN 'task_unknown' END,
        CASE WHEN NOT is_leaf THEN 'task_not_chargeable' END,
        CASE WHEN work_date < task_starts_on OR work_date >= task_ends_on THEN 'outside_task_dates' END,
        CASE WHEN billable IS NULL THEN 'billable_unknown' END,
        CASE WHEN assignments IS NULL AND NOT allows_unassigned_time THEN 'assignment_missing' END,
        CASE WHEN assignments > 0 AND rate_amount IS NULL THEN 'rate_missing' END,
        CASE WHEN rate_amount <= 0 THEN 'rate_zero' END,
        CASE WHEN currency <> contract_currency THEN 'currency_differs' END,
        CASE WHEN is_open IS NULL THEN 'period_unknown' END,
        CASE WHEN NOT is_open THEN 'period_closed' END,
        CASE WHEN work_date > '2026-11-03' THEN 'work_date_in_future' END,
        CASE WHEN seconds <= 0 THEN 'duration_not_positive' END,
        CASE WHEN day_seconds > 86400 THEN 'day_over_maximum' END,
        CASE WHEN duplicate_rank > 1 THEN 'duplicate_content' END,
        CASE WHEN coalesce(notes, '') = '' THEN 'narrative_missing' END,
        CASE WHEN sum(seconds * rate_amount / 3600) OVER (PARTITION BY project ORDER BY work_date, id) > cap_amount
             THEN 'cap_exceeded' END], NULL) AS reasons
    FROM (
        SELECT e.*, e.spent_date::date AS work_date, round(e.hours * 3600)::integer AS seconds, p.person,
               p.entity AS person_entity, p.employed_on, p.labor_category, p.leave, j.project, j.entity, j.status,
               j.accepts_time, j.starts_on, j.ends_on, j.client_is_active, j.contract_is_active,
               j.contract_starts_on, j.contract_ends_on, j.is_purchase_order_required, j.purchase_order,
               j.allows_unassigned_time, j.cap_amount, j.currency AS contract_currency, t.task, t.is_leaf,
               t.starts_on AS task_starts_on, t.ends_on AS task_ends_on, a.assignments, r.rate_amount,
               r.currency, w.is_open,
               sum(e.hours * 3600) FILTER (WHERE e.is_locked) OVER (PARTITION BY e.user__id, e.spent_date) AS day_seconds,
               row_number() OVER (PARTITION BY e.user__id, e.spent_date, e.project__id, e.task__id, e.hours, e.notes,
                                  e.is_locked ORDER BY e.created_at, e.id) AS duplicate_rank
        FROM hours.time_entries e
        LEFT JOIN person p ON p.person = e.user__id
        LEFT JOIN project j ON j.project = e.project__id
        LEFT JOIN task t ON t.project = e.project__id AND t.task = e.task__id
        LEFT JOIN (SELECT person, project, count(*) AS assignments FROM assignment GROUP BY 1, 2) a
            ON a.person = e.user__id AND a.project = e.project__id
        LEFT JOIN rate r ON r.project = e.project__id AND r.task = e.task__id AND r.labor_category = p.labor_category
        LEFT JOIN period w ON w.entity = j.entity AND e.spent_date::date >= w.starts_on AND e.spent_date::date < w.ends_on
    ) x
) y
"""

# The target of the other runs confirms whatever it is asked for; a script that works in sets believes it.
_INTENT = """
INSERT INTO effect SELECT md5('harvest/' || source_ref)::uuid, source_ref, 'INTENT' FROM verdict
WHERE outcome = 'cleared'
"""
_CONFIRM = "UPDATE effect SET state = 'CONFIRMED' WHERE state = 'INTENT'"
_BOOK = """
INSERT INTO ledger SELECT e.business_key, v.source_ref, v.project, v.work_date, v.seconds, v.rate_amount, v.amount,
    v.currency FROM effect e JOIN verdict v USING (source_ref) WHERE e.state = 'CONFIRMED'
"""


def main() -> None:
    """Load, judge, confirm, book; print what came out."""
    dsn, folder = sys.argv[1], Path(sys.argv[2])
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(_TABLES)
    started = time.perf_counter()
    pipeline = dlt.pipeline(
        pipeline_name="hours",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.postgres(credentials=dsn),
        dataset_name="hours",
    )
    pipeline.run(_hours(folder), table_name="time_entries", write_disposition="append")
    load_seconds = time.perf_counter() - started
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        for statement in (_JUDGE, _INTENT, _CONFIRM, _BOOK):
            cursor.execute(statement)
            connection.commit()
        seconds = time.perf_counter() - started
        cursor.execute("SELECT outcome, count(*) FROM verdict GROUP BY 1 ORDER BY 1")
        outcomes = dict(cursor.fetchall())
        cursor.execute("SELECT count(*) FROM ledger")
        lines = cursor.fetchone()[0]
    figures = {
        "dlt": dlt.__version__,
        "load_seconds": round(load_seconds, 3),
        "seconds_total": round(seconds, 3),
        "outcomes": outcomes,
        "ledger_lines": lines,
    }
    print(json.dumps(figures))


def _hours(folder: Path) -> Iterator[list[dict[str, Any]]]:
    for page in sorted(folder.glob("page-*.jsonl")):
        yield [json.loads(line) for line in page.read_bytes().splitlines()]


if __name__ == "__main__":
    main()
