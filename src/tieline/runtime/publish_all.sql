-- Several events of one type, kept and queued in the order in which they are given.
WITH told AS (
    INSERT INTO event (type, subject_kind, subject_id, entity_code, occurred_at, recorded_at, correlation_id, data)
    SELECT %(type)s, h.subject_kind, h.subject_id, h.entity_code, h.occurred_at, %(recorded_at)s,
           %(correlation_id)s, h.data
    FROM unnest(%(subject_kinds)s::text[], %(subject_ids)s::text[], %(entity_codes)s::text[],
                %(occurred_at)s::timestamptz[], %(data)s::jsonb[])
        WITH ORDINALITY AS h (subject_kind, subject_id, entity_code, occurred_at, data, number)
    ORDER BY h.number
    RETURNING event_id, subject_kind, subject_id
)
INSERT INTO outbox (event_id, aggregate)
SELECT event_id, subject_kind || ':' || subject_id FROM told ORDER BY event_id
