-- Every hour that was read is in a place: it has a newest version, and every record that was kept as it came became
-- an hour, another thing, or a case.
SELECT t.connection_key AS source_connection, NULL AS target_connection, v.entity_code, v.period_id, v.project_id,
       'hours are in no place: their newest version is gone' AS said, v.currency,
       t.connection_key || ':' || t.object || ':' || t.source_ref AS thing, coalesce(v.seconds, 0) AS seconds, v.amount
FROM time_entry t
LEFT JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
LEFT JOIN LATERAL (
    SELECT * FROM verdict v WHERE v.entry_id = t.entry_id ORDER BY v.verdict_id DESC LIMIT 1
) v ON w.entry_id IS NULL OR w.version <> t.newest_version
WHERE t.newest_version > 0 AND (w.entry_id IS NULL OR w.version <> t.newest_version)
UNION ALL
SELECT r.connection_key, NULL, NULL, NULL, NULL, 'records were kept and became nothing', NULL,
       r.connection_key || ':' || r.object || ':' || r.source_ref, 0, NULL
FROM raw_record r
JOIN connection c USING (connection_key, source_epoch)
JOIN intake_batch b USING (batch_id)
WHERE b.state IN ('landed', 'judged')
  AND NOT EXISTS (SELECT FROM time_entry t WHERE (t.connection_key, t.source_epoch, t.object, t.source_ref)
                  = (r.connection_key, r.source_epoch, r.object, r.source_ref))
  AND NOT EXISTS (SELECT FROM source_version s WHERE (s.connection_key, s.source_epoch, s.object, s.source_ref)
                  = (r.connection_key, r.source_epoch, r.object, r.source_ref))
  AND NOT EXISTS (SELECT FROM untranslated u WHERE (u.connection_key, u.source_epoch, u.object, u.source_ref)
                  = (r.connection_key, r.source_epoch, r.object, r.source_ref))
