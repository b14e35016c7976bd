-- An INTENT is written only while the version is the newest, the verdict is of this version, no rejudge
-- waits for its keys, the period is open, no check has stopped its scope and the contract is not released for
-- invoicing; entry and period rows are locked in this transaction.
WITH period AS (
    SELECT period_id FROM fiscal_period WHERE period_id = %(period_id)s AND state = 'open' FOR SHARE
), candidate AS MATERIALIZED (
    -- OFFSET 0 keeps the planner from joining whole tables: the lines are walked in the order of their
    -- index until the batch is full, however long the backlog behind it is.
    SELECT e.business_key, v.verdict_id, v.person_id, v.project_id, v.work_date,
           CASE WHEN e.part = 'capped' THEN v.capped_line_id ELSE v.contract_line_id END AS contract_line_id
    FROM {effects} e
    CROSS JOIN LATERAL (
        SELECT v.*
        FROM time_entry t JOIN verdict v ON v.verdict_id = t.verdict_id
        WHERE t.entry_id = e.entry_id AND t.newest_version = e.entry_version AND t.verdict_id = e.verdict_id
        OFFSET 0
    ) v
    WHERE e.target_connection = %(target)s AND e.entity_code = %(entity_code)s AND e.period_id = %(period_id)s
      AND e.noun = 'time_line' AND e.kind = 'book' AND e.state IN ('PLANNED', 'ABSENT')
      AND (e.due_at IS NULL OR e.due_at <= clock_timestamp())
      AND EXISTS (SELECT FROM period)
      {gate}
      AND (NOT (SELECT EXISTS (SELECT FROM handed_over h WHERE h.released_at IS NULL))
           OR NOT EXISTS (SELECT FROM handed_over h WHERE h.entry_id = e.entry_id AND h.released_at IS NULL))
    ORDER BY {order}
    LIMIT %(limit)s
), due AS (
    -- A verdict never changes: what was read of it holds for as long as effect and entry name it.
    SELECT e.business_key, e.entity_code, e.seconds, c.person_id, c.contract_line_id, c.project_id, c.work_date,
           e.books_on, e.entry_id, e.entry_version, e.attempt, e.state = 'ABSENT' OR e.reason = 'write.not_executed' AS was_tried
    FROM candidate c
    JOIN effect e ON e.business_key = c.business_key
    JOIN time_entry t ON t.entry_id = e.entry_id
    WHERE e.state IN ('PLANNED', 'ABSENT') AND t.newest_version = e.entry_version AND t.verdict_id = e.verdict_id
      AND e.verdict_id = c.verdict_id
    FOR UPDATE OF e, t SKIP LOCKED
)
SELECT d.business_key, d.entity_code, d.seconds, coalesce(d.books_on, d.work_date) AS work_date, coalesce(d.was_tried, false) AS was_tried,
       d.attempt,
       n.text AS narrative,
       person.source_ref AS person_code, task.source_ref AS task_code
FROM due d
JOIN time_entry_version w ON w.entry_id = d.entry_id AND w.version = d.entry_version
LEFT JOIN narrative n USING (narrative_id)
-- Days are compared and no ranges: of few links a planner looked through the ranges of all, for each line.
JOIN crosswalk person ON person.connection_key = %(target)s AND person.noun = 'employee'
    AND person.our_id = d.person_id AND person.scope = d.entity_code AND person.superseded_at IS NULL
    AND person.starts_on <= d.work_date AND (person.ends_on IS NULL OR person.ends_on > d.work_date)
JOIN crosswalk task ON task.connection_key = %(target)s AND task.noun = 'erp_task'
    AND task.our_id = d.contract_line_id AND task.scope IN ('', d.project_id::text) AND task.superseded_at IS NULL
    AND task.starts_on <= d.work_date AND (task.ends_on IS NULL OR task.ends_on > d.work_date)
ORDER BY d.business_key
