-- Contracts that run already, with their rates, projects and tasks, as the rows of one file; return how many contracts.
WITH told AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS r (contract text, name text, client_id uuid, entity_code text,
        billing_method text, currency text, cap_amount numeric, purchase_order text,
        is_purchase_order_required boolean, practice text, tax_treatment text, rate_card text,
        contract_starts_on date, contract_ends_on date, project text, task_name text, labor_category text,
        rate_amount numeric, markup_percent numeric, sold_hours numeric, starts_on date, ends_on date)
), agreed AS MATERIALIZED (
    SELECT DISTINCT contract, name, client_id, entity_code, billing_method, currency, cap_amount, purchase_order,
           is_purchase_order_required, practice, tax_treatment, rate_card, contract_starts_on, contract_ends_on, project
    FROM told
), worth AS (
    SELECT contract, sum(sold_hours * rate_amount) AS amount FROM told GROUP BY contract
), made AS (
    INSERT INTO contract (client_id, entity_code, contract_code, recorded_at)
    SELECT client_id, entity_code, contract, %(now)s FROM agreed
    RETURNING contract_id, contract_code
), versions AS (
    INSERT INTO contract_version (contract_id, name, billing_method, currency, value_amount, cap_amount,
        purchase_order, is_purchase_order_required, practice, tax_treatment, rate_card, allows_unassigned_time,
        is_active, starts_on, ends_on, recorded_at)
    SELECT m.contract_id, a.name, a.billing_method, a.currency, w.amount, a.cap_amount, a.purchase_order,
           coalesce(a.is_purchase_order_required, false), a.practice, a.tax_treatment, a.rate_card, false, true,
           a.contract_starts_on, a.contract_ends_on, %(now)s
    FROM made m JOIN agreed a ON a.contract = m.contract_code JOIN worth w ON w.contract = a.contract
), lines AS (
    INSERT INTO contract_line (contract_id, task_name, labor_category, rate_amount, markup_percent, currency, sold_seconds,
        starts_on, ends_on, recorded_at)
    SELECT m.contract_id, t.task_name, t.labor_category, t.rate_amount, t.markup_percent, t.currency, t.sold_hours * 3600,
           t.starts_on, coalesce(t.ends_on, lead(t.starts_on) OVER following), %(now)s
    FROM told t JOIN made m ON m.contract_code = t.contract
    WINDOW following AS (PARTITION BY t.contract, t.task_name, t.labor_category ORDER BY t.starts_on)
), projects AS (
    INSERT INTO project (contract_id, entity_code, project_code, recorded_at)
    SELECT m.contract_id, a.entity_code, a.project, %(now)s FROM agreed a JOIN made m ON m.contract_code = a.contract
    RETURNING project_id, project_code
), project_versions AS (
    INSERT INTO project_version (project_id, name, status, accepts_time, starts_on, ends_on, recorded_at)
    SELECT p.project_id, a.name, 'active', true, a.contract_starts_on, a.contract_ends_on, %(now)s
    FROM projects p JOIN agreed a ON a.project = p.project_code
), tasks AS (
    INSERT INTO task (project_id, task_name, is_billable, starts_on, ends_on, recorded_at)
    SELECT DISTINCT p.project_id, t.task_name, true, t.contract_starts_on, t.contract_ends_on, %(now)s::timestamptz
    FROM told t JOIN projects p ON p.project_code = t.project
)
SELECT count(*)::int AS contracts FROM made
