-- Several events of one type, kept in the order in which they are given, and queued for each
-- connection that hears this type and this legal entity. Nobody who hears only some legal entities is
-- told what belongs to none.
WITH told AS (
    INSERT INTO event (type, subject_kind, subject_id, entity_code, occurred_at, recorded_at, correlation_id, data)
    SELECT %(type)s, h.subject_kind, h.subject_id, h.entity_code, h.occurred_at, %(recorded_at)s,
           %(correlation_id)s, h.data
    FROM unnest(%(subject_kinds)s::text[], %(subject_ids)s::text[], %(entity_codes)s::text[],
                %(occurred_at)s::timestamptz[], %(data)s::jsonb[])
        WITH ORDINALITY AS h (subject_kind, subject_id, entity_code, occurred_at, data, number)
    ORDER BY h.number
    RETURNING event_id, subject_kind, subject_id, entity_code
)
INSERT INTO outbox (event_id, aggregate, connection_key)
SELECT t.event_id, t.subject_kind || ':' || t.subject_id, c.connection_key
FROM told t JOIN connection c ON c.kind = 'events'
 AND coalesce(c.config -> 'events' ? %(type)s, true)
 AND coalesce(c.config -> 'legal_entities' ? t.entity_code, NOT c.config ? 'legal_entities')
ORDER BY t.event_id, c.connection_key
