-- Every task that a system holds and that is no link of ours yet, with the one of ours that has its name in the project
-- that its project is, or surely is. Of some alone (is_whole false) only those of the parents are asked about.
INSERT INTO adopt_proposed (connection_key, noun, source_ref, own_ref, name, code, parent, fit_id, fits, rivals, rank, ours,
    our_name, why)
WITH standing AS (
    SELECT connection_key, noun, source_ref, our_id, ends_on FROM crosswalk
    WHERE superseded_at IS NULL AND scope = '' AND noun IN ('project', 'task', 'erp_task')
), sure AS (
    -- What a project's record was for a former client brings no task any more.
    SELECT connection_key, source_ref, our_id FROM standing WHERE noun = 'project' AND ends_on IS NULL
    UNION ALL
    SELECT connection_key, source_ref, fit_id FROM adopt_proposed WHERE noun = 'project' AND fits = 1 AND rank < 3
), theirs AS (
    -- Where a system shares tasks between its projects, hours name the project and the task's place on it.
    SELECT n.connection_key, n.system_kind, n.name, n.code, n.parent_ref, n.rate, n.source_ref AS own_ref,
           CASE n.system_kind WHEN 'erp' THEN 'erp_task' ELSE 'task' END AS noun,
           CASE n.system_kind WHEN 'erp' THEN n.source_ref ELSE n.parent_ref || '/' || n.source_ref END AS source_ref
    FROM adoption_record n
    WHERE n.noun = 'WorkItem' AND n.item_kind = 'task' AND n.parent_ref IS NOT NULL
      AND (%(is_whole)s OR n.parent_ref = ANY (%(parents)s))
), loose AS (
    SELECT t.* FROM theirs t
    WHERE NOT EXISTS (SELECT FROM standing s WHERE s.connection_key = t.connection_key AND s.noun = t.noun
                      AND s.source_ref = t.source_ref)
      AND NOT EXISTS (SELECT FROM standing s WHERE s.connection_key = t.connection_key AND s.noun = t.noun
                      AND s.source_ref = t.own_ref)
), fit AS (
    SELECT l.connection_key, l.noun, l.source_ref, l.own_ref, l.name, l.code, l.parent_ref,
           min(k.task_id::text)::uuid AS fit_id, count(k.task_id) AS fits,
           min(p.project_code || ' / ' || k.task_name) AS ours, min(k.task_name) AS our_name
    FROM loose l
    LEFT JOIN sure s ON s.connection_key = l.connection_key AND s.source_ref = l.parent_ref
    LEFT JOIN task k ON k.project_id = s.our_id AND lower(k.task_name) = lower(l.name) AND k.superseded_at IS NULL
    LEFT JOIN project p ON p.project_id = k.project_id
    WHERE l.noun = 'task'
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    UNION ALL
    -- What an ERP bills by is a task for each rate: it has the name of ours, alone or with the labor category, and
    -- the rate of the line.
    SELECT l.connection_key, l.noun, l.source_ref, l.own_ref, l.name, l.code, l.parent_ref,
           min(c.contract_line_id::text)::uuid, count(c.contract_line_id),
           min(p.project_code || ' / ' || c.task_name || ' / ' || c.labor_category), min(c.task_name)
    FROM loose l
    LEFT JOIN sure s ON s.connection_key = l.connection_key AND s.source_ref = l.parent_ref
    LEFT JOIN project p ON p.project_id = s.our_id
    LEFT JOIN contract_line c ON c.contract_id = p.contract_id AND c.superseded_at IS NULL
         AND c.rate_amount = nullif(l.rate, '')::numeric
         AND lower(l.name) IN (lower(c.task_name), lower(c.task_name || ' | ' || c.labor_category),
                               lower(c.task_name || ' | ' || c.labor_category || ' | from ' || c.starts_on))
    WHERE l.noun = 'erp_task'
    GROUP BY 1, 2, 3, 4, 5, 6, 7
)
SELECT connection_key, noun, source_ref, own_ref, name, coalesce(code, ''), parent_ref, fit_id, fits,
       count(*) FILTER (WHERE fits = 1) OVER (PARTITION BY connection_key, noun, fit_id), 1, coalesce(ours, ''),
       coalesce(our_name, ''),
       CASE WHEN fits > 0 THEN CASE noun WHEN 'task' THEN 'same name in the same project'
                                         ELSE 'same name and rate in the same project' END END
FROM fit
