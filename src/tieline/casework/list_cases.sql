-- Cases with the seconds and the money of their members, worst deadline first, dearest first.
SELECT c.case_id, c.reason, c.owner_queue, c.thing_kind, c.thing_key, c.entity_code, c.state, c.is_incident,
       c.assigned_to, c.opened_at, c.due_at, c.closed_at, c.closed_because, c.dismissed_by, c.correlation_id,
       c.details, s.members, s.seconds, s.unpriced_seconds, s.amounts
FROM case_file c
CROSS JOIN LATERAL (
    SELECT coalesce(sum(x.members), 0)::int AS members, coalesce(sum(x.seconds), 0)::bigint AS seconds,
           coalesce(sum(x.seconds) FILTER (WHERE x.currency IS NULL), 0)::bigint AS unpriced_seconds,
           coalesce(jsonb_object_agg(x.currency, x.amount::text) FILTER (WHERE x.currency IS NOT NULL),
                    '{}') AS amounts, max(x.amount) AS dearest
    FROM (
        SELECT m.currency, count(*) AS members, sum(m.seconds) AS seconds, sum(m.amount) AS amount
        FROM case_member m
        WHERE m.case_id = c.case_id AND (m.left_at IS NULL OR c.state <> 'open')
        GROUP BY m.currency
    ) x
) s
WHERE (%(case_id)s::uuid IS NULL OR c.case_id = %(case_id)s)
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(owner_queue)s::text IS NULL OR c.owner_queue = %(owner_queue)s)
  AND (%(reason)s::text IS NULL OR c.reason = %(reason)s)
  AND (%(entity_code)s::text IS NULL OR c.entity_code = %(entity_code)s)
ORDER BY c.is_incident DESC, c.due_at NULLS LAST, s.dearest DESC NULLS LAST, s.seconds DESC, c.case_id
LIMIT %(limit)s OFFSET %(offset)s
