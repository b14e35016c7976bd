-- Seconds until the scope's next line can move on; NULL when nothing of it is open or all of it is held back. One
-- that can move now ends the search: a backlog must not be counted to see that there is one.
WITH gate AS (
    SELECT EXISTS (SELECT FROM connection c
                   WHERE c.connection_key = %(target)s AND c.mode = 'act' AND NOT c.paused)
           AND EXISTS (SELECT FROM fiscal_period p
                       WHERE p.period_id = %(period_id)s AND p.state = 'open') AS is_open
), movable AS NOT MATERIALIZED (
    SELECT coalesce(u.due_at, clock_timestamp()) AS due_at
    FROM unsettled_effect u
    WHERE u.target_connection = %(target)s AND u.entity_code = %(entity_code)s AND u.period_id = %(period_id)s
      AND u.noun = 'time_line' AND u.state IN ('INTENT', 'UNKNOWN', 'PROBING')
    UNION ALL
    SELECT coalesce(e.due_at, clock_timestamp())
    FROM {open_lines} e
    WHERE e.target_connection = %(target)s AND e.entity_code = %(entity_code)s AND e.period_id = %(period_id)s
      AND e.noun = 'time_line' AND e.state IN ('PLANNED', 'ABSENT') AND e.kind = 'void' AND (SELECT is_open FROM gate)
      AND NOT EXISTS (SELECT FROM tieline.stops_over(e.connection_key, e.target_connection, e.entity_code, e.period_id,
                                                     e.project_id, e.noun))
      AND EXISTS (SELECT FROM time_entry t
                  WHERE t.entry_id = e.entry_id AND (e.state = 'ABSENT' OR t.verdict_id = e.verdict_id))
      AND EXISTS (SELECT FROM ledger_line l WHERE l.business_key = e.undoes_key
                    AND NOT tieline.contract_is_locked(l.contract_id, coalesce(e.books_on, l.work_date)))
      AND NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = e.undoes_key)
    UNION ALL
    SELECT coalesce(e.due_at, clock_timestamp())
    FROM {open_lines} e
    WHERE e.target_connection = %(target)s AND e.entity_code = %(entity_code)s AND e.period_id = %(period_id)s
      AND e.noun = 'time_line' AND e.state IN ('PLANNED', 'ABSENT') AND e.kind = 'book' AND (SELECT is_open FROM gate)
      AND EXISTS (SELECT FROM time_entry t JOIN verdict v ON v.verdict_id = t.verdict_id
                  WHERE t.entry_id = e.entry_id AND t.verdict_id = e.verdict_id AND t.newest_version = e.entry_version
                  {gate})
)
SELECT CASE WHEN EXISTS (SELECT FROM movable WHERE due_at <= clock_timestamp()) THEN 0
            ELSE (SELECT ceil(extract(epoch FROM min(due_at) - clock_timestamp()))::int FROM movable)
       END AS seconds
