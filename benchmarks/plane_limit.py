"""The limit: the same rows through bare COPY, the simplest statement of 15 rules, and one insert.

No versions, no reasons kept, no effects, no protocol, nothing to explain: what the database itself
can do on one connection, into logged tables.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from plane_firm import Firm, Hour, as_record
from psycopg import sql

TABLES = """
CREATE TABLE raw (source_ref text NOT NULL, body bytea NOT NULL);
CREATE TABLE entry (source_ref text NOT NULL, person integer, project integer, task integer,
    work_date date, seconds integer, is_billable boolean, is_approved boolean, created_at timestamptz,
    notes text);
CREATE TABLE ledger (source_ref text NOT NULL, person integer, project integer, task integer,
    work_date date, seconds integer, rate_amount numeric, amount numeric, period_code text);
CREATE TABLE person AS SELECT n AS person, '2026-01-01'::date AS starts_on,
    CASE WHEN n % 4 < 2 THEN 'Consultant' ELSE 'Senior' END AS labor_category
    FROM generate_series(0, {people} - 1) n;
CREATE TABLE project AS SELECT n AS project, true AS accepts_time, '2026-01-01'::date AS starts_on,
    true AS client_is_active FROM generate_series(0, {projects} - 1) n;
CREATE TABLE assignment AS
    SELECT b.person, ((b.person / 2 + 7 * j) % ({projects} / 2)) * 2 + b.person % 2 AS project
    FROM person b CROSS JOIN generate_series(0, 2) j;
CREATE TABLE rate AS SELECT project, k AS task, c AS labor_category, 150::numeric AS rate_amount
    FROM project CROSS JOIN generate_series(0, 2) k CROSS JOIN unnest(ARRAY['Consultant', 'Senior']) c;
CREATE TABLE period AS SELECT to_char(m, 'YYYY-MM') AS period_code, m::date AS starts_on,
    (m + interval '1 month')::date AS ends_on, true AS is_open
    FROM generate_series('2026-01-01'::timestamp, '2026-12-01', '1 month') m;
ANALYZE;
"""

JUDGE = """
CREATE TABLE judged AS
SELECT *, array_remove(ARRAY[
    CASE WHEN is_approved IS NOT TRUE THEN 'approval' END,
    CASE WHEN employed_on IS NULL OR work_date < employed_on THEN 'employment' END,
    CASE WHEN accepts_time IS NOT TRUE THEN 'project' END,
    CASE WHEN project_on IS NULL OR work_date < project_on THEN 'project_dates' END,
    CASE WHEN client_is_active IS NOT TRUE THEN 'client' END,
    CASE WHEN assigned IS NULL THEN 'assignment' END,
    CASE WHEN labor_category IS NULL THEN 'labor_category' END,
    CASE WHEN rate_amount IS NULL THEN 'rate' END,
    CASE WHEN rate_amount <= 0 THEN 'rate_zero' END,
    CASE WHEN is_open IS NOT TRUE THEN 'period' END,
    CASE WHEN seconds IS NULL OR seconds <= 0 THEN 'seconds' END,
    CASE WHEN created_at::date - work_date > 14 THEN 'late' END,
    CASE WHEN length(notes) < 1 THEN 'notes' END,
    CASE WHEN day_seconds > 86400 THEN 'day' END,
    CASE WHEN duplicate_rank > 1 THEN 'duplicate' END], NULL) AS violations
FROM (
    SELECT e.*, p.starts_on AS employed_on, p.labor_category, j.accepts_time, j.starts_on AS project_on,
           j.client_is_active, a.person AS assigned, r.rate_amount, w.is_open, w.period_code,
           sum(e.seconds) OVER (PARTITION BY e.person, e.work_date) AS day_seconds,
           row_number() OVER (PARTITION BY e.person, e.work_date, e.project, e.task, e.seconds, e.notes
                              ORDER BY e.created_at, length(e.source_ref), e.source_ref) AS duplicate_rank
    FROM entry e
    LEFT JOIN person p USING (person)
    LEFT JOIN project j USING (project)
    LEFT JOIN assignment a ON a.person = e.person AND a.project = e.project
    LEFT JOIN rate r ON r.project = e.project AND r.task = e.task AND r.labor_category = p.labor_category
    LEFT JOIN period w ON e.work_date >= w.starts_on AND e.work_date < w.ends_on
) c
"""

BOOK = """
INSERT INTO ledger
SELECT source_ref, person, project, task, work_date, seconds, rate_amount,
       round(seconds * rate_amount / 3600, 2), period_code
FROM judged WHERE violations = '{}'
"""


def measure_limit(dsn: str, *, firm: Firm, page_rows: int) -> dict[str, Any]:
    """Run the limit in a database of its own and return its figures."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            sql.SQL(TABLES).format(
                people=sql.Literal(firm.people), projects=sql.Literal(firm.projects)
            )
        )
        connection.commit()
        copy_seconds = sum(_copy(connection, page) for page in firm.pages(rows=page_rows))
        started = time.perf_counter()
        connection.execute(JUDGE)
        connection.commit()
        judge_seconds = time.perf_counter() - started
        started = time.perf_counter()
        lines = connection.execute(BOOK).rowcount
        connection.commit()
        ledger_seconds = time.perf_counter() - started
    total = copy_seconds + judge_seconds + ledger_seconds
    return {
        "copy_seconds": round(copy_seconds, 3),
        "judge_seconds": round(judge_seconds, 3),
        "ledger_seconds": round(ledger_seconds, 3),
        "seconds_total": round(total, 3),
        "entries_per_second": round(firm.entries / total),
        "ledger_lines": lines,
    }


def _copy(connection: psycopg.Connection[Any], page: Sequence[Hour]) -> float:
    records = [as_record(hour) for hour in page]
    started = time.perf_counter()
    _copy_rows(
        connection,
        "COPY raw (source_ref, body) FROM STDIN",
        ((record.source_ref, record.body) for record in records),
    )
    _copy_rows(
        connection,
        "COPY entry FROM STDIN",
        (
            (
                record.source_ref,
                hour.person,
                hour.project,
                hour.task,
                hour.work_date,
                hour.hundredths * 36,
                True,
                hour.is_approved,
                record.source_at,
                hour.notes,
            )
            for hour, record in zip(page, records, strict=True)
        ),
    )
    connection.commit()
    return time.perf_counter() - started


def _copy_rows(
    connection: psycopg.Connection[Any], statement: str, rows: Iterable[Sequence[Any]]
) -> None:
    with connection.cursor().copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
