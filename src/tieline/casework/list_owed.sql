-- Open cases with their sums, for messages to their owners. With :period_id only those that threaten its cut-off:
-- due by then and not before now, or about an hour of that period.
SELECT c.case_id, c.reason, c.details, c.assigned_to, c.owner_queue, c.entity_code, c.due_at, c.is_incident,
       coalesce(s.seconds, 0)::bigint AS seconds, coalesce(s.unpriced_seconds, 0)::bigint AS unpriced_seconds,
       coalesce(s.amounts, '{}') AS amounts
FROM case_file c
LEFT JOIN LATERAL (
    SELECT sum(x.seconds) AS seconds, sum(x.seconds) FILTER (WHERE x.currency IS NULL) AS unpriced_seconds,
           jsonb_object_agg(x.currency, x.amount::text) FILTER (WHERE x.currency IS NOT NULL) AS amounts
    FROM (
        -- Nobody knows who else reads a message: what an hour costs is not told in one.
        SELECT p.currency, sum(m.seconds) AS seconds, sum(p.amount) AS amount FROM case_member m
        CROSS JOIN LATERAL (
            SELECT CASE WHEN m.basis <> 'cost' THEN m.currency END AS currency,
                   CASE WHEN m.basis <> 'cost' THEN m.amount END AS amount
        ) p
        WHERE m.case_id = c.case_id AND m.left_at IS NULL GROUP BY p.currency
    ) x
) s ON true
WHERE c.state = 'open'
  AND (%(period_id)s::uuid IS NULL
       OR (c.entity_code = %(entity_code)s AND c.due_at > %(now)s AND c.due_at <= %(cut_off_at)s)
       OR EXISTS (
           SELECT FROM case_member m JOIN time_entry t USING (entry_id) JOIN verdict v USING (verdict_id)
           WHERE m.case_id = c.case_id AND m.left_at IS NULL AND v.period_id = %(period_id)s))
ORDER BY c.is_incident DESC, c.due_at NULLS LAST, s.seconds DESC NULLS LAST, c.case_id
