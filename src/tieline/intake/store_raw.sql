-- The same bytes of the same record are stored once; the answer names the row that holds each record.
WITH newest AS (
    SELECT DISTINCT ON (object, source_ref) * FROM landing_raw
    ORDER BY object, source_ref, source_at DESC NULLS LAST, line_number DESC NULLS LAST
), known AS (
    SELECT DISTINCT ON (n.object, n.source_ref) n.object, n.source_ref, r.raw_id
    FROM newest n JOIN raw_record r ON r.connection_key = %(connection_key)s AND r.object = n.object
        AND r.source_ref = n.source_ref AND r.raw_hash = n.raw_hash AND r.source_epoch = %(source_epoch)s
    ORDER BY n.object, n.source_ref, r.raw_id DESC
), stored AS (
    INSERT INTO raw_record (received_on, connection_key, source_epoch, object, source_ref, raw_hash, body,
                            source_at, line_number, batch_id)
    SELECT %(received_on)s, %(connection_key)s, %(source_epoch)s, n.object, n.source_ref, n.raw_hash, n.body,
           n.source_at, n.line_number, %(batch_id)s
    FROM newest n WHERE NOT EXISTS (SELECT FROM known k WHERE (k.object, k.source_ref) = (n.object, n.source_ref))
    RETURNING object, source_ref, raw_id
)
SELECT object, source_ref, raw_id FROM stored
UNION ALL SELECT object, source_ref, raw_id FROM known
