DELETE FROM landing_noun a USING landing_noun b
WHERE (a.object, a.source_ref) = (b.object, b.source_ref)
  AND (coalesce(a.source_at, '-infinity'), a.ctid) < (coalesce(b.source_at, '-infinity'), b.ctid)
-- then
-- A new way of computing the hash, over the same values, is no change.
UPDATE source_version n SET material_hash = l.material_hash, material_version = %(material_version)s
FROM landing_noun l
WHERE n.connection_key = %(connection_key)s AND n.source_epoch = %(source_epoch)s
  AND (n.object, n.source_ref) = (l.object, l.source_ref) AND n.is_newest AND n.material_version <> %(material_version)s
  AND (n.noun, n.data, n.is_deleted) = (l.noun, l.data, l.is_deleted)
-- then
DELETE FROM landing_noun l USING source_version n
WHERE n.connection_key = %(connection_key)s AND n.source_epoch = %(source_epoch)s
  AND (n.object, n.source_ref) = (l.object, l.source_ref) AND n.is_newest
  AND ((n.material_hash = l.material_hash AND n.material_version = %(material_version)s)
       OR l.source_at < n.source_at)
-- then
UPDATE source_version n SET is_newest = false FROM landing_noun l
WHERE n.connection_key = %(connection_key)s AND n.source_epoch = %(source_epoch)s
  AND (n.object, n.source_ref) = (l.object, l.source_ref) AND n.is_newest
-- then
INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version, is_newest, noun, data,
    is_deleted, material_hash, material_version, source_at, recorded_at, raw_id, correlation_id)
SELECT %(connection_key)s, %(source_epoch)s, l.object, l.source_ref,
    1 + coalesce((SELECT max(version) FROM source_version o WHERE o.connection_key = %(connection_key)s
        AND o.source_epoch = %(source_epoch)s AND (o.object, o.source_ref) = (l.object, l.source_ref)), 0),
    true, l.noun, l.data, l.is_deleted, l.material_hash, %(material_version)s, l.source_at, %(now)s, l.raw_id,
    %(correlation_id)s
FROM landing_noun l
-- then
SELECT count(*) AS rows FROM landing_noun
