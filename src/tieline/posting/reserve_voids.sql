-- Take planned take-backs to INTENT; the period must be open, no check may have stopped their scope, and what they
-- undo must be confirmed and on no invoice of ours.
WITH period AS (
    SELECT period_id FROM fiscal_period WHERE period_id = %(period_id)s AND state = 'open' FOR SHARE
), due AS (
    SELECT e.business_key, coalesce(e.state = 'ABSENT' OR e.reason = 'write.not_executed', false) AS was_tried
    FROM unsettled_effect u
    JOIN effect e ON e.business_key = u.business_key
    JOIN period p ON p.period_id = u.period_id
    JOIN time_entry t ON t.entry_id = e.entry_id
    JOIN ledger_line l ON l.business_key = e.undoes_key
    WHERE u.target_connection = %(target)s AND u.entity_code = %(entity_code)s AND u.period_id = %(period_id)s
      AND u.noun = 'time_line' AND u.kind = 'void' AND u.state IN ('PLANNED', 'ABSENT')
      AND e.state IN ('PLANNED', 'ABSENT')
      AND (e.due_at IS NULL OR e.due_at <= clock_timestamp())
      AND NOT tieline.contract_is_locked(l.contract_id, coalesce(e.books_on, l.work_date))
      AND NOT EXISTS (SELECT FROM tieline.stops_over(e.connection_key, e.target_connection, e.entity_code, e.period_id,
                                                     e.project_id, e.noun))
      AND NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = e.undoes_key)
      AND (e.state = 'ABSENT' OR t.verdict_id = e.verdict_id)
    ORDER BY e.deadline_at, abs(e.amount) DESC NULLS LAST, e.planned_at, e.business_key LIMIT %(limit)s
    FOR UPDATE OF e, t SKIP LOCKED
)
UPDATE effect e SET state = 'INTENT', attempt = e.attempt + 1, work_class = %(work_class)s, payload_hash = 'void:' || e.undoes_key,
    sent_at = clock_timestamp(), due_at = NULL, reason = NULL
FROM due WHERE e.business_key = due.business_key
RETURNING e.business_key, e.attempt, e.undoes_key, due.was_tried, e.books_on, e.entity_code, e.amount, e.currency
