-- Each record of a slice with the very bytes that are believed of it: those of its newest version, or those that nobody
-- understood. An older state that came late, or bytes that changed nothing, are never landed again.
WITH slice AS (
    SELECT DISTINCT r.object, r.source_ref FROM raw_record r
    JOIN connection c USING (connection_key, source_epoch)
    WHERE r.connection_key = %(connection_key)s
      AND (%(object)s::text IS NULL OR r.object = %(object)s)
      AND (%(since)s::date IS NULL OR r.received_on >= %(since)s)
      AND (%(until)s::date IS NULL OR r.received_on < %(until)s)
      AND (%(refs)s::text[] IS NULL OR r.source_ref = ANY (%(refs)s))
), believed AS (
    SELECT s.object, s.source_ref, t.entry_id, coalesce(u.raw_id, w.raw_id, n.raw_id) AS raw_id,
           CASE WHEN u.raw_id IS NULL THEN coalesce(w.source_at, n.source_at) END AS source_at,
           coalesce(w.is_deleted, n.is_deleted, false) AS is_deleted,
           coalesce(u.line_number, w.line_number) AS line_number
    FROM slice s
    JOIN connection c ON c.connection_key = %(connection_key)s
    LEFT JOIN untranslated u ON (u.connection_key, u.source_epoch, u.object, u.source_ref)
        = (c.connection_key, c.source_epoch, s.object, s.source_ref) AND u.healed_at IS NULL
    LEFT JOIN time_entry t ON (t.connection_key, t.source_epoch, t.object, t.source_ref)
        = (c.connection_key, c.source_epoch, s.object, s.source_ref)
    LEFT JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
    LEFT JOIN source_version n ON (n.connection_key, n.source_epoch, n.object, n.source_ref)
        = (c.connection_key, c.source_epoch, s.object, s.source_ref) AND n.is_newest
    WHERE %(worked_since)s::date IS NULL OR (w.work_date >= %(worked_since)s AND w.work_date < %(worked_until)s)
)
SELECT b.object, b.source_ref, b.entry_id, b.raw_id, b.is_deleted, r.body, coalesce(b.source_at, r.source_at) AS source_at,
       b.line_number
FROM believed b
LEFT JOIN raw_record r ON (r.connection_key, r.object, r.source_ref) = (%(connection_key)s, b.object, b.source_ref)
    AND r.raw_id = b.raw_id
ORDER BY b.object, b.source_ref LIMIT %(limit)s
