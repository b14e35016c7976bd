-- The same bytes of the same record are stored once; the answer names the row that holds each record. What is kept of
-- these records is read by their names in one go: joined, a planner without statistics reads all that a source ever sent.
WITH held AS MATERIALIZED (
    SELECT r.object, r.source_ref, r.raw_hash, r.raw_id FROM raw_record r
    WHERE r.connection_key = %(connection_key)s AND r.source_epoch = %(source_epoch)s
      AND r.object = ANY (ARRAY(SELECT DISTINCT object FROM landing_raw))
      AND r.source_ref = ANY (ARRAY(SELECT source_ref FROM landing_raw))
), known AS (
    SELECT n.object, n.source_ref, max(h.raw_id) AS raw_id
    FROM landing_raw n JOIN held h ON (h.object, h.source_ref, h.raw_hash) = (n.object, n.source_ref, n.raw_hash)
    GROUP BY n.object, n.source_ref
), stored AS (
    INSERT INTO raw_record (received_on, connection_key, source_epoch, object, source_ref, raw_hash, body,
                            source_at, line_number, batch_id)
    SELECT %(received_on)s, %(connection_key)s, %(source_epoch)s, n.object, n.source_ref, n.raw_hash, n.body,
           n.source_at, n.line_number, %(batch_id)s
    FROM landing_raw n WHERE NOT EXISTS (SELECT FROM known k WHERE (k.object, k.source_ref) = (n.object, n.source_ref))
    RETURNING object, source_ref, raw_id
)
SELECT object, source_ref, raw_id FROM stored
UNION ALL SELECT object, source_ref, raw_id FROM known
