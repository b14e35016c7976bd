-- Lock the entries in one order, then decide: unchanged, newer, or older than what we hold. Each is looked up by its
-- name: a planner that expects one hour of a source read all of them for each record.
WITH named AS MATERIALIZED (
    SELECT t.entry_id FROM landing_time l
    CROSS JOIN LATERAL (
        SELECT t.entry_id FROM time_entry t
        WHERE t.connection_key = %(connection_key)s AND t.source_epoch = %(source_epoch)s
          AND t.object = l.object AND t.source_ref = l.source_ref OFFSET 0) t
    WHERE l.entry_id IS NULL
), held AS (
    SELECT t.entry_id, t.object, t.source_ref, t.newest_version
    FROM time_entry t
    WHERE t.entry_id = ANY (ARRAY(SELECT entry_id FROM named))
    ORDER BY t.entry_id FOR UPDATE
)
UPDATE landing_time l
SET entry_id = h.entry_id,
    next_version = 1 + coalesce((SELECT max(version) FROM time_entry_version v WHERE v.entry_id = h.entry_id), 0),
    is_newer = n.entry_id IS NULL OR l.source_at IS NULL OR n.source_at IS NULL OR l.source_at >= n.source_at
FROM held h
LEFT JOIN LATERAL (
    SELECT n.entry_id, n.source_at FROM time_entry_version n WHERE n.entry_id = h.entry_id AND n.is_newest OFFSET 0
) n ON true
WHERE (h.object, h.source_ref) = (l.object, l.source_ref)
-- then
-- A new way of computing the hash, over the same values, is no change: the hash of what stands is computed again.
UPDATE time_entry_version n SET material_hash = l.material_hash, material_version = %(material_version)s
FROM landing_time l
WHERE n.entry_id = l.entry_id AND n.is_newest AND n.material_version <> %(material_version)s
  AND (n.is_deleted, n.person_ref, n.project_ref, n.task_ref, n.labor_category, n.work_date, n.seconds, n.is_billable,
       n.approval, n.narrative_length, n.narrative_hash)
  IS NOT DISTINCT FROM (l.is_deleted, l.person_ref, l.project_ref, l.task_ref, l.labor_category, l.work_date, l.seconds,
       l.is_billable, l.approval, coalesce(length(l.narrative), 0), l.narrative_hash)
