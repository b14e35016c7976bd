-- Hours that were judged without these links are looked at again.
SELECT DISTINCT 'entry:' || t.entry_id AS neighbor_key
FROM adopt_confirmed c
JOIN time_entry t ON t.connection_key = c.connection_key AND t.verdict_id IS NOT NULL
JOIN time_entry_version v ON v.entry_id = t.entry_id AND v.is_newest
    AND c.source_ref = CASE c.noun WHEN 'person' THEN v.person_ref WHEN 'project' THEN v.project_ref
                                   ELSE v.project_ref || '/' || v.task_ref END
UNION
SELECT 'entry:' || t.entry_id
FROM adopt_confirmed c
JOIN verdict d ON d.contract_line_id = c.our_id
JOIN time_entry t ON t.verdict_id = d.verdict_id
WHERE c.noun = 'erp_task'
