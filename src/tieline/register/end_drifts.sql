-- Refused writes that the other system no longer makes, or that it may make now.
UPDATE drift d SET ended_at = %(now)s
WHERE d.noun = %(noun)s AND d.ended_at IS NULL AND NOT EXISTS (
    SELECT FROM unnest(%(our_ids)s::uuid[], %(fields)s::text[], %(writers)s::text[]) AS n (our_id, field, written_by)
    WHERE (n.our_id, n.field, n.written_by) = (d.our_id, d.field, d.written_by))
