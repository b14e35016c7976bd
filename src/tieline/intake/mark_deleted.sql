-- A deletion is a version like any other: what the record was, and that it is gone.
WITH gone AS (
    SELECT v.* FROM time_entry t
    JOIN time_entry_version v ON v.entry_id = t.entry_id AND v.is_newest
    JOIN connection c ON c.connection_key = t.connection_key AND c.source_epoch = t.source_epoch
    WHERE t.connection_key = %(connection_key)s AND t.object = %(object)s AND NOT v.is_deleted
      AND t.source_ref = ANY (%(gone)s::text[])
    ORDER BY t.entry_id FOR UPDATE OF t
), older AS (
    UPDATE time_entry_version v SET is_newest = false FROM gone g
    WHERE v.entry_id = g.entry_id AND v.version = g.version
    RETURNING v.entry_id
), numbered AS (
    SELECT g.*, 1 + (SELECT max(v.version) FROM time_entry_version v WHERE v.entry_id = g.entry_id) AS next_version
    FROM gone g JOIN older USING (entry_id)
), newest AS (
    UPDATE time_entry t SET newest_version = n.next_version FROM numbered n WHERE t.entry_id = n.entry_id
    RETURNING t.entry_id
)
INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref, project_ref, task_ref,
    labor_category, work_date, zone, seconds, quantum_seconds, started_at, ended_at, is_billable, approval,
    approval_word, approver_ref, approved_at, created_at, narrative_id, narrative_length, narrative_hash,
    material_hash, material_version, source_at, recorded_at, raw_id, line_number, batch_id, correlation_id)
SELECT n.entry_id, n.next_version, true, true, person_ref, project_ref, task_ref, labor_category, work_date,
    zone, seconds, quantum_seconds, started_at, ended_at, is_billable, approval, approval_word, approver_ref,
    approved_at, created_at, narrative_id, narrative_length, narrative_hash,
    sha256(material_hash || 'deleted'::bytea), material_version, NULL, %(now)s, raw_id, line_number,
    %(batch_id)s, %(correlation_id)s
FROM numbered n JOIN newest USING (entry_id)
