-- What a target would be sent by the newest verdict of an hour, and by the one its effect was planned with: under the
-- first day of a later period where that was agreed for a closed one.
SELECT v.entry_id, o.part, v.verdict_id, v.verdict_id = t.verdict_id AS is_newest, v.version, v.outcome, p.period_id,
       v.project_id, o.seconds, o.amount, v.currency, v.rate_amount, v.posting_hash, v.release_id,
       v.correlation_id, coalesce(b.books_on, v.work_date) AS work_date, b.books_on,
       person.source_ref AS person_code, task.source_ref AS task_code, p.cut_off_at
FROM time_entry t
JOIN verdict v ON v.entry_id = t.entry_id
LEFT JOIN adjustment a ON a.entry_id = t.entry_id AND a.version = v.version AND a.superseded_at IS NULL
JOIN fiscal_period p ON p.period_id = coalesce(a.booking_period_id, v.period_id)
CROSS JOIN LATERAL (SELECT CASE WHEN p.period_id <> v.period_id THEN p.starts_on END AS books_on) b
CROSS JOIN LATERAL (
    SELECT 'main' AS part, v.seconds - coalesce(v.capped_seconds, 0) AS seconds, v.amount,
           v.contract_line_id AS line_id
    UNION ALL
    SELECT 'capped', v.capped_seconds, 0, v.capped_line_id WHERE v.capped_seconds IS NOT NULL
) o
JOIN crosswalk person ON person.connection_key = %(target)s AND person.noun = 'employee'
    AND person.our_id = v.person_id AND person.scope = %(entity_code)s AND person.superseded_at IS NULL
    AND daterange(person.starts_on, person.ends_on) @> v.work_date
JOIN crosswalk task ON task.connection_key = %(target)s AND task.noun = 'erp_task'
    AND task.our_id = o.line_id AND task.scope IN ('', v.project_id::text) AND task.superseded_at IS NULL
    AND daterange(task.starts_on, task.ends_on) @> v.work_date
WHERE t.entry_id = ANY (%(entry_ids)s::uuid[]) AND v.entity_code = %(entity_code)s
  AND v.outcome IN ('cleared', 'correct') AND o.seconds > 0
  AND (v.verdict_id = t.verdict_id AND v.version = t.newest_version OR EXISTS (
       SELECT FROM effect e WHERE e.entry_id = t.entry_id AND e.verdict_id = v.verdict_id
         AND e.target_connection = %(target)s AND e.kind = 'book'))
ORDER BY v.entry_id, v.verdict_id DESC
