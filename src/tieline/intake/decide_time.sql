-- What the source calls the approval is no change, but people ask whether an hour was handed in.
UPDATE time_entry_version n SET approval_word = l.approval_word
FROM landing_time l
WHERE n.entry_id = l.entry_id AND n.is_newest AND l.is_newer AND n.material_hash = l.material_hash
  AND n.material_version = %(material_version)s AND n.approval_word <> l.approval_word
-- then
-- Change is judged against the newest version only: A, B, A are three versions.
DELETE FROM landing_time l USING time_entry_version n
WHERE n.entry_id = l.entry_id AND n.is_newest AND n.material_hash = l.material_hash
  AND n.material_version = %(material_version)s
-- then
-- An older state of a record is kept once and never becomes the newest.
DELETE FROM landing_time l USING time_entry_version o
WHERE NOT l.is_newer AND o.entry_id = l.entry_id AND o.material_hash = l.material_hash
-- then
UPDATE landing_time SET narrative_id = nextval('narrative_narrative_id_seq')
WHERE narrative IS NOT NULL AND narrative_id IS NULL
-- then
UPDATE time_entry_version v SET is_newest = false
FROM landing_time l WHERE v.entry_id = l.entry_id AND v.is_newest AND l.is_newer
-- then
UPDATE time_entry t SET newest_version = l.next_version
FROM landing_time l WHERE t.entry_id = l.entry_id AND l.is_newer AND l.next_version > 1
