-- Refused writes that began, or came again after they had ended; one that stands is left as it is.
INSERT INTO drift AS d (noun, our_id, field, written_by, owner_kind, since)
SELECT DISTINCT %(noun)s, n.our_id, n.field, n.written_by, n.owner_kind, %(now)s::timestamptz
FROM unnest(%(our_ids)s::uuid[], %(fields)s::text[], %(writers)s::text[], %(owner_kinds)s::text[])
    AS n (our_id, field, written_by, owner_kind)
ON CONFLICT (noun, our_id, field, written_by) DO UPDATE
SET since = excluded.since, owner_kind = excluded.owner_kind, ended_at = NULL
WHERE d.ended_at IS NOT NULL
RETURNING d.our_id, d.field, d.written_by, d.owner_kind
