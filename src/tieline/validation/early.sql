-- What would become of each hour, whose it is, who would approve it, and who manages its project today.
SELECT d.entry_id, d.connection_key, d.source_ref, d.person_id, s.name AS person_name, d.project_id, p.project_code,
       d.task_name, d.entity_code, d.work_date, d.seconds, d.amount, d.currency, d.outcome, d.reasons,
       a.approver_id, b.name AS approver_name, m.managers
FROM decided d
LEFT JOIN subject s ON s.subject_id = d.person_id AND s.kind = 'person'
LEFT JOIN project p ON p.project_id = d.project_id
LEFT JOIN assignment a ON a.person_id = d.person_id AND a.project_id = d.project_id
    AND daterange(a.starts_on, a.ends_on) @> d.work_date AND a.superseded_at IS NULL
LEFT JOIN subject b ON b.subject_id = a.approver_id AND b.kind = 'person'
LEFT JOIN (
    SELECT m.project_id, jsonb_object_agg(m.person_id, s.name) AS managers
    FROM project_manager m
    LEFT JOIN subject s ON s.subject_id = m.person_id AND s.kind = 'person'
    WHERE daterange(m.starts_on, m.ends_on) @> %(now)s::date
    GROUP BY m.project_id
) m ON m.project_id = d.project_id
ORDER BY d.work_date DESC, d.connection_key, d.source_ref
