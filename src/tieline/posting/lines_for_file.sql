-- Lines of a target and legal entity that may go into a file: never one that is being sent or may have been. The
-- gate is that of sending; whoever is being sent or judged at this moment is passed over. Codes are those that were
-- last read from the target itself: it may be down.
WITH candidate AS MATERIALIZED (
    SELECT e.business_key
    FROM {open_lines} e
    JOIN fiscal_period p ON p.period_id = e.period_id AND p.state = 'open'
    CROSS JOIN LATERAL (
        SELECT v.contract_id, v.work_date, v.neighbor_keys
        FROM time_entry t JOIN verdict v ON v.verdict_id = t.verdict_id
        WHERE t.entry_id = e.entry_id AND t.newest_version = e.entry_version AND t.verdict_id = e.verdict_id
        OFFSET 0
    ) v
    WHERE e.target_connection = %(target)s AND e.entity_code = %(entity_code)s
      AND (%(period_code)s::text IS NULL OR p.period_code = %(period_code)s)
      AND e.noun = 'time_line' AND e.kind = 'book' AND e.state IN ('PLANNED', 'ABSENT')
      AND e.planned_at <= %(planned_by)s
      {gate}
    ORDER BY e.work_class, e.deadline_at, e.planned_at, e.business_key
    LIMIT %(limit)s
), due AS (
    SELECT e.business_key, e.entity_code, e.seconds, e.amount, e.currency, e.deadline_at, e.period_id, e.entry_id,
           e.entry_version, v.person_id, v.project_id, v.work_date, e.books_on,
           CASE WHEN e.part = 'capped' THEN v.capped_line_id ELSE v.contract_line_id END AS contract_line_id
    FROM candidate c
    JOIN effect e ON e.business_key = c.business_key
    JOIN time_entry t ON t.entry_id = e.entry_id
    JOIN verdict v ON v.verdict_id = e.verdict_id
    JOIN fiscal_period p ON p.period_id = e.period_id
    WHERE e.state IN ('PLANNED', 'ABSENT') AND t.newest_version = e.entry_version AND t.verdict_id = e.verdict_id
      AND p.state = 'open'
    {locked}
), people AS MATERIALIZED (
    -- A person who is an employee of two companies has one code there: an import could find either record.
    SELECT s.source_ref, s.data ->> 'employee_code' AS employee_code,
           count(*) OVER (PARTITION BY s.data ->> 'employee_code') AS records
    FROM source_version s
    JOIN connection c ON c.connection_key = s.connection_key AND c.source_epoch = s.source_epoch
    WHERE s.connection_key = %(target)s AND s.noun = 'Person' AND s.is_newest AND NOT s.is_deleted
), made AS MATERIALIZED (
    SELECT x.target_code, min(x.business_key::text)::uuid AS task_key
    FROM effect x
    WHERE x.target_connection = %(target)s AND x.noun = 'task' AND x.kind = 'write' AND x.state = 'CONFIRMED'
    GROUP BY x.target_code
)
SELECT d.business_key, d.entity_code, d.seconds, d.amount, d.currency, d.deadline_at, coalesce(d.books_on, d.work_date) AS work_date,
       p.period_code, j.project_code, n.text AS narrative, person.source_ref AS person_code,
       task.source_ref AS task_code, known.employee_code, known.work_code, made.task_key
FROM due d
JOIN fiscal_period p ON p.period_id = d.period_id
JOIN project j ON j.project_id = d.project_id
JOIN time_entry_version w ON w.entry_id = d.entry_id AND w.version = d.entry_version
LEFT JOIN narrative n USING (narrative_id)
JOIN crosswalk person ON person.connection_key = %(target)s AND person.noun = 'employee'
    AND person.our_id = d.person_id AND person.scope = d.entity_code AND person.superseded_at IS NULL
    AND person.starts_on <= d.work_date AND (person.ends_on IS NULL OR person.ends_on > d.work_date)
JOIN crosswalk task ON task.connection_key = %(target)s AND task.noun = 'erp_task'
    AND task.our_id = d.contract_line_id AND task.scope IN ('', d.project_id::text) AND task.superseded_at IS NULL
    AND task.starts_on <= d.work_date AND (task.ends_on IS NULL OR task.ends_on > d.work_date)
CROSS JOIN LATERAL (
    SELECT (SELECT p.employee_code FROM people p
            WHERE p.source_ref = person.source_ref AND p.records = 1) AS employee_code,
           (SELECT s.data ->> 'code' FROM source_version s
            WHERE s.connection_key = c.connection_key AND s.source_epoch = c.source_epoch AND s.noun = 'WorkItem'
              AND s.data ->> 'kind' = 'task' AND s.source_ref = task.source_ref AND s.is_newest LIMIT 1) AS work_code
    FROM connection c WHERE c.connection_key = %(target)s
) known
LEFT JOIN made ON made.target_code = task.source_ref
ORDER BY d.work_date, person.source_ref, task.source_ref, d.business_key
