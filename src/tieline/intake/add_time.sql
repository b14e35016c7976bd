-- One row per source record: the newest of what this page says.
DELETE FROM landing_time a USING landing_time b
WHERE (a.object, a.source_ref) = (b.object, b.source_ref)
  AND (coalesce(a.source_at, '-infinity'), a.ctid) < (coalesce(b.source_at, '-infinity'), b.ctid)
-- then
-- What nobody has seen before is known at once: it has nothing to be compared with.
WITH added AS (
    INSERT INTO time_entry (connection_key, source_epoch, object, source_ref, newest_version)
    SELECT %(connection_key)s, %(source_epoch)s, object, source_ref, 1 FROM landing_time ORDER BY object, source_ref
    ON CONFLICT DO NOTHING
    RETURNING entry_id, object, source_ref
)
UPDATE landing_time l
SET entry_id = a.entry_id, next_version = 1, is_newer = true,
    narrative_id = CASE WHEN l.narrative IS NOT NULL THEN nextval('narrative_narrative_id_seq') END
FROM added a WHERE (a.object, a.source_ref) = (l.object, l.source_ref)
-- then
SELECT count(*) AS rows FROM landing_time WHERE entry_id IS NULL
