-- A linked reversal for each booking that the target took back.
WITH reversed AS (
INSERT INTO ledger_line (booked_month, booked_at, business_key, entry_id, entry_version, target_connection,
    target_code, entity_code, period_id, client_id, contract_id, contract_line_id, project_id, task_id,
    person_id, labor_category, work_date, is_billable, seconds, target_seconds, rate_amount, amount, currency,
    reverses_line_id, correlation_id)
SELECT date_trunc('month', %(now)s AT TIME ZONE 'UTC')::date, %(now)s, e.business_key, e.entry_id,
       e.entry_version, e.target_connection, o.target_code, o.entity_code, e.period_id, o.client_id,
       o.contract_id, o.contract_line_id, o.project_id, o.task_id, o.person_id, o.labor_category,
       coalesce(e.books_on, o.work_date),
       o.is_billable, -o.seconds, -o.target_seconds, o.rate_amount, -o.amount, o.currency, o.line_id,
       e.correlation_id
FROM unnest(%(keys)s::uuid[]) AS k (business_key)
JOIN effect e USING (business_key)
JOIN ledger_line o ON o.business_key = e.undoes_key
WHERE e.state = 'CONFIRMED' AND e.kind = 'void' AND e.noun = 'time_line'
  AND NOT EXISTS (SELECT FROM ledger_line l WHERE l.business_key = e.business_key)
RETURNING 1
)
SELECT count(*) AS lines FROM reversed
