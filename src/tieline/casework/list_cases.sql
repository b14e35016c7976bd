-- Cases with the seconds and the money of their members. With :now, dearest x nearest first: an amount counts in
-- full in its last hour and is divided by the hours that are left before. Without, by deadline and then by amount.
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
        FROM case_member_seen m
        WHERE m.case_id = c.case_id AND (m.left_at IS NULL OR c.state <> 'open')
        GROUP BY m.currency
    ) x
) s
WHERE (%(case_ids)s::uuid[] IS NULL OR c.case_id = ANY (%(case_ids)s))
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(owner_queue)s::text IS NULL OR c.owner_queue = %(owner_queue)s)
  AND (%(reason)s::text IS NULL OR c.reason = %(reason)s)
  AND (%(entity_code)s::text IS NULL OR c.entity_code = %(entity_code)s)
  AND (%(assigned_to)s::text IS NULL OR coalesce(c.assigned_to, '') = %(assigned_to)s)
ORDER BY c.is_incident DESC,
         CASE WHEN %(now)s::timestamptz IS NOT NULL THEN coalesce(s.dearest, 0) / greatest(1, coalesce(
             extract(epoch FROM c.due_at - %(now)s::timestamptz) / 3600, 720)) END DESC NULLS LAST,
         c.due_at NULLS LAST, s.dearest DESC NULLS LAST, s.seconds DESC, c.case_id
LIMIT %(limit)s OFFSET %(offset)s
