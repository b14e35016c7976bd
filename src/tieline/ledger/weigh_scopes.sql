-- What is open in each scope: its class and deadline by the calendar of its legal entity, and what it is worth.
-- Where nothing may be sent and nothing waits for an answer, there is nothing to do: the period is not open, or a
-- check has stopped all of it. Currencies count at par here: the number orders work and is shown to nobody.
SELECT e.target_connection, e.entity_code, e.period_id,
       tieline.cut_off_class(p, %(now)s) AS work_class, tieline.cut_off_deadline(p, %(now)s) AS deadline_at,
       e.value_at_risk
FROM (
    SELECT target_connection, entity_code, period_id, coalesce(sum(abs(amount)), 0) AS value_at_risk,
           bool_or(state IN ('INTENT', 'UNKNOWN', 'PROBING')) AS is_unanswered
    FROM unsettled_effect
    WHERE noun = 'time_line' AND state IN ('PLANNED', 'INTENT', 'UNKNOWN', 'PROBING', 'ABSENT')
    GROUP BY 1, 2, 3
) e
JOIN fiscal_period p USING (period_id)
JOIN connection c ON c.connection_key = e.target_connection
WHERE NOT c.paused AND c.mode = 'act'
  AND (e.is_unanswered OR p.state = 'open' AND NOT EXISTS (
       SELECT FROM posting_stop s
       WHERE s.lifted_at IS NULL AND s.source_connection IS NULL AND s.project_id IS NULL
         AND coalesce(s.target_connection, e.target_connection) = e.target_connection
         AND coalesce(s.entity_code, e.entity_code) = e.entity_code
         AND coalesce(s.period_id, e.period_id) = e.period_id))
