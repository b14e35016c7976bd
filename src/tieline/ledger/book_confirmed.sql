-- A ledger line for each booking that the target confirmed, under the day under which the target has it.
INSERT INTO ledger_line (booked_month, booked_at, business_key, entry_id, entry_version, target_connection,
    target_code, entity_code, period_id, client_id, contract_id, contract_line_id, project_id, task_id,
    person_id, labor_category, work_date, is_billable, seconds, target_seconds, rate_amount, amount, currency,
    correlation_id, via_file_id)
SELECT date_trunc('month', %(now)s AT TIME ZONE 'UTC')::date, %(now)s, e.business_key, e.entry_id,
       e.entry_version, e.target_connection, e.target_code, e.entity_code, e.period_id, v.client_id,
       v.contract_id, CASE WHEN e.part = 'capped' THEN v.capped_line_id ELSE v.contract_line_id END, v.project_id, v.task_id, v.person_id, coalesce(v.labor_category, ''),
       coalesce(e.books_on, v.work_date), coalesce(v.is_billable, true) AND e.part <> 'capped', e.seconds, k.target_seconds, CASE WHEN e.part = 'capped' THEN 0 ELSE v.rate_amount END, e.amount,
       e.currency, e.correlation_id, %(via_file_id)s::uuid
FROM unnest(%(keys)s::uuid[], %(target_seconds)s::int[]) AS k (business_key, target_seconds)
-- Looked up one by one whatever the planner expects: without statistics it reads all that there ever was.
CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.business_key = k.business_key OFFSET 0) e
CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = e.verdict_id OFFSET 0) v
WHERE e.state = 'CONFIRMED' AND e.kind = 'book' AND e.noun = 'time_line'
  AND NOT EXISTS (SELECT FROM ledger_line l WHERE l.business_key = e.business_key)
