-- What the target showed of lines that were sent, or asked about: each leaves the state that its attempt was in and
-- gains its ledger line, under the day under which the target has it. Whoever woke up late finds fewer. Seconds and
-- hash are told of what the target altered; the others stand as they were sent.
WITH shown AS (
    SELECT * FROM unnest(%(keys)b::uuid[], %(attempts)b::int[], %(codes)b::text[], %(seconds)s::int[],
                         %(hashes)s::text[])
        AS k (business_key, attempt, target_code, target_seconds, stored_hash)
), confirmed AS (
    UPDATE effect e SET state = 'CONFIRMED', target_code = k.target_code, due_at = NULL,
        settled_at = clock_timestamp(), stored_hash = coalesce(k.stored_hash, e.payload_hash),
        reason = CASE WHEN k.stored_hash IS NOT NULL THEN 'posted.altered_by_target' END
    FROM shown k
    WHERE e.business_key = k.business_key AND e.attempt = k.attempt AND e.state = %(state)s
      AND e.kind = 'book' AND e.noun = 'time_line'
    RETURNING e.business_key, e.entry_id, e.entry_version, e.target_connection, e.target_code, e.entity_code,
              e.period_id, e.verdict_id, e.part, e.books_on, e.seconds, e.amount, e.currency, e.correlation_id,
              coalesce(k.target_seconds, e.seconds) AS target_seconds
)
INSERT INTO ledger_line (booked_month, booked_at, business_key, entry_id, entry_version, target_connection,
    target_code, entity_code, period_id, client_id, contract_id, contract_line_id, project_id, task_id,
    person_id, labor_category, work_date, is_billable, seconds, target_seconds, rate_amount, amount, currency,
    correlation_id)
SELECT date_trunc('month', %(now)s AT TIME ZONE 'UTC')::date, %(now)s, e.business_key, e.entry_id,
       e.entry_version, e.target_connection, e.target_code, e.entity_code, e.period_id, v.client_id,
       v.contract_id, CASE WHEN e.part = 'capped' THEN v.capped_line_id ELSE v.contract_line_id END, v.project_id, v.task_id, v.person_id, coalesce(v.labor_category, ''),
       coalesce(e.books_on, v.work_date), coalesce(v.is_billable, true) AND e.part <> 'capped', e.seconds, e.target_seconds, CASE WHEN e.part = 'capped' THEN 0 ELSE v.rate_amount END,
       e.amount, e.currency, e.correlation_id
FROM confirmed e
-- Looked up one by one whatever the planner expects: without statistics it reads all that there ever was.
CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = e.verdict_id OFFSET 0) v
