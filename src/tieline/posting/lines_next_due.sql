-- Seconds until the scope's next line can move on; NULL when nothing of it is open.
SELECT ceil(extract(epoch FROM min(coalesce(e.due_at, clock_timestamp())) - clock_timestamp()))::int AS seconds
FROM effect e
JOIN time_entry t USING (entry_id)
JOIN verdict v ON v.verdict_id = e.verdict_id
WHERE e.target_connection = %(target)s AND e.entity_code = %(entity_code)s AND e.period_id = %(period_id)s
  AND e.noun = 'time_line'
  AND (e.state IN ('INTENT', 'UNKNOWN', 'PROBING')
       OR (e.state IN ('PLANNED', 'ABSENT') AND t.verdict_id = e.verdict_id
           AND NOT EXISTS (SELECT FROM rejudge r WHERE r.neighbor_key = ANY (v.neighbor_keys || ARRAY['release', 'period:' || e.period_id]))
           AND EXISTS (SELECT FROM connection c
                       WHERE c.connection_key = e.target_connection AND c.mode = 'act' AND NOT c.paused)
           AND (SELECT state FROM fiscal_period p WHERE p.period_id = e.period_id) = 'open'))
