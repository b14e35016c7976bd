"""Reference data of the peers: the same firm as the product's, in tables as plain as a script would keep."""

from __future__ import annotations

from typing import Any

import psycopg
from plane_firm import Firm
from psycopg import sql

_TABLES = """
CREATE TABLE person AS SELECT n AS person, 'E' || n % 2 AS entity, '2026-01-01'::date AS employed_on,
    CASE WHEN n % 4 < 2 THEN 'Consultant' ELSE 'Senior' END AS labor_category, 80::numeric AS cost_rate,
    n::text AS erp_code, NULL::daterange AS leave FROM generate_series(0, {people} - 1) n;
CREATE TABLE project AS SELECT n AS project, 'E' || n % 2 AS entity, 'active' AS status, true AS accepts_time,
    '2026-01-01'::date AS starts_on, NULL::date AS ends_on, true AS client_is_active,
    true AS contract_is_active, '2026-01-01'::date AS contract_starts_on, NULL::date AS contract_ends_on,
    'EUR' AS currency, CASE WHEN n % 20 = 0 THEN 100000000::numeric END AS cap_amount,
    false AS is_purchase_order_required, NULL::text AS purchase_order, false AS allows_unassigned_time
    FROM generate_series(0, {projects} - 1) n;
CREATE TABLE task AS SELECT project, k AS task, true AS is_leaf, true AS is_billable,
    '2026-01-01'::date AS starts_on, NULL::date AS ends_on FROM project CROSS JOIN generate_series(0, 2) k;
CREATE TABLE assignment AS
    SELECT b.person, ((b.person / 2 + 7 * j) % ({projects} / 2)) * 2 + b.person % 2 AS project,
           '2026-01-01'::date AS starts_on, NULL::date AS ends_on
    FROM person b CROSS JOIN generate_series(0, 2) j;
CREATE TABLE rate AS SELECT project, task, c AS labor_category, 150::numeric AS rate_amount, 'EUR' AS currency,
    project || '/' || task || '/' || c AS erp_code
    FROM task CROSS JOIN unnest(ARRAY['Consultant', 'Senior']) c;
CREATE TABLE period AS SELECT e AS entity, to_char(m, 'YYYY-MM') AS period_code, m::date AS starts_on,
    (m + interval '1 month')::date AS ends_on, true AS is_open
    FROM unnest(ARRAY['E0', 'E1']) e, generate_series('2026-01-01'::timestamp, '2026-12-01', '1 month') m;
ANALYZE;
"""


def make_master_data(connection: psycopg.Connection[Any], *, firm: Firm) -> None:
    """Fill the tables of people, projects, tasks, assignments, rates and periods."""
    connection.execute(
        sql.SQL(_TABLES).format(
            people=sql.Literal(firm.people), projects=sql.Literal(firm.projects)
        )
    )
    connection.commit()
