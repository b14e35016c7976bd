-- The bytes are those of what stands, and only who reads them is new: that is no change of the source.
DELETE FROM landing_time l USING time_entry_version n
WHERE n.entry_id = l.entry_id AND n.is_newest AND n.raw_id = l.raw_id AND n.is_deleted = l.is_deleted
  AND n.material_version <> %(material_version)s
