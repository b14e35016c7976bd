INSERT INTO narrative (narrative_id, text) OVERRIDING SYSTEM VALUE
SELECT narrative_id, narrative FROM landing_time WHERE narrative IS NOT NULL
-- then
INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref, project_ref, task_ref,
    labor_category, work_date, zone, seconds, quantum_seconds, started_at, ended_at, is_billable, approval,
    approval_word, approver_ref, approved_at, created_at, narrative_id, narrative_length, narrative_hash,
    material_hash, material_version, source_at, recorded_at, raw_id, line_number, batch_id, correlation_id)
SELECT entry_id, next_version, is_newer, is_deleted, person_ref, project_ref, task_ref, labor_category,
    work_date, zone, seconds, quantum_seconds, started_at, ended_at, is_billable, approval, approval_word,
    approver_ref, approved_at, created_at, narrative_id, coalesce(length(narrative), 0), narrative_hash,
    material_hash, %(material_version)s, source_at, %(now)s, raw_id, line_number, %(batch_id)s,
    %(correlation_id)s
FROM landing_time
-- then
SELECT count(*) AS rows FROM landing_time WHERE is_newer
