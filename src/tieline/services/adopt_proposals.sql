-- Every record that a connected system holds and that is no link of ours yet, with the one of ours that it most
-- likely is and why. What fits several, or what several fit, is said and left to a person.
WITH newest AS (
    SELECT s.connection_key, c.kind AS system_kind, s.object, s.source_ref, s.noun, s.data->>'kind' AS item_kind,
           btrim(s.data->>'name') AS name, nullif(btrim(s.data->>'code'), '') AS code, s.data->>'parent_ref' AS parent_ref,
           s.data->>'client_ref' AS client_ref, lower(btrim(s.data->>'email')) AS email,
           s.data->'extras'->>'list_price' AS rate
    FROM source_version s
    JOIN connection c ON c.connection_key = s.connection_key AND c.source_epoch = s.source_epoch
    WHERE s.is_newest AND NOT s.is_deleted AND s.noun IN ('WorkItem', 'Client', 'Person')
), standing AS (
    SELECT connection_key, noun, source_ref, our_id, ends_on FROM crosswalk WHERE superseded_at IS NULL AND scope = ''
), our_project AS (
    SELECT p.project_id, p.project_code, v.name, coalesce(n.redirect_to, n.client_id) AS client_id
    FROM project p
    JOIN project_version v ON v.project_id = p.project_id AND v.superseded_at IS NULL
    JOIN contract k USING (contract_id) JOIN client n ON n.client_id = k.client_id
), record AS (
    SELECT n.connection_key, 'project' AS noun, n.source_ref, n.name, n.code, '' AS parent, n.client_ref
    FROM newest n WHERE n.noun = 'WorkItem' AND n.item_kind = 'project'
), loose AS (
    -- A project that is no link yet, with the client it stands for there.
    SELECT r.*, coalesce(c.redirect_to, c.client_id) AS client_id
    FROM record r
    LEFT JOIN standing x ON x.connection_key = r.connection_key AND x.noun = 'client' AND x.source_ref = r.client_ref
    LEFT JOIN client c ON c.client_id = x.our_id
    WHERE NOT EXISTS (SELECT FROM standing s WHERE s.connection_key = r.connection_key AND s.noun = 'project'
                      AND s.source_ref = r.source_ref)
), fitting AS (
    SELECT l.connection_key, l.source_ref, o.project_id, 1 AS rank, 'same code' AS why
    FROM loose l JOIN our_project o ON lower(o.project_code) = lower(l.code)
    UNION ALL
    SELECT l.connection_key, l.source_ref, o.project_id, 2, 'same name, and the same client'
    FROM loose l JOIN our_project o ON lower(o.name) = lower(l.name) AND o.client_id = l.client_id
    UNION ALL
    SELECT l.connection_key, l.source_ref, o.project_id, 3, 'same name only'
    FROM loose l JOIN our_project o ON lower(o.name) = lower(l.name)
    WHERE l.client_id IS NULL
), best AS (
    SELECT connection_key, source_ref, min(rank) AS rank FROM fitting GROUP BY 1, 2
), chosen AS (
    SELECT f.connection_key, f.source_ref, b.rank, min(f.why) AS why, count(DISTINCT f.project_id) AS fits,
           (array_agg(f.project_id ORDER BY f.project_id))[1] AS our_id
    FROM fitting f JOIN best b USING (connection_key, source_ref, rank)
    GROUP BY 1, 2, 3
), project_row AS (
    SELECT l.connection_key, 'project' AS noun, l.source_ref, l.name, l.code, l.parent, c.our_id, c.why, c.rank,
           coalesce(c.fits, 0) AS fits, o.project_code AS ours, o.name AS our_name
    FROM loose l LEFT JOIN chosen c USING (connection_key, source_ref) LEFT JOIN our_project o ON o.project_id = c.our_id
), sure AS (
    -- What a project's record was for a former client brings no task any more.
    SELECT connection_key, source_ref, our_id FROM standing WHERE noun = 'project' AND ends_on IS NULL
    UNION ALL
    SELECT connection_key, source_ref, our_id FROM project_row WHERE fits = 1 AND rank < 3
), task_record AS (
    -- Where a system shares tasks between its projects, hours name the project and the task's place on it.
    SELECT connection_key, name, code, parent_ref, parent_ref || '/' || source_ref AS pair_ref, source_ref
    FROM newest
    WHERE noun = 'WorkItem' AND item_kind = 'task' AND parent_ref IS NOT NULL AND system_kind <> 'erp'
), loose_task AS (
    SELECT r.* FROM task_record r
    WHERE NOT EXISTS (SELECT FROM standing s WHERE s.connection_key = r.connection_key AND s.noun = 'task'
                      AND s.source_ref IN (r.pair_ref, r.source_ref))
), task_row AS (
    SELECT l.connection_key, 'task' AS noun, l.pair_ref AS source_ref, l.name, l.code, l.parent_ref AS parent,
           min(k.task_id::text)::uuid AS our_id,
           CASE WHEN count(k.task_id) > 0 THEN 'same name in the same project' END AS why, 1 AS rank,
           count(k.task_id) AS fits, min(p.project_code || ' / ' || k.task_name) AS ours, min(k.task_name) AS our_name
    FROM loose_task l
    LEFT JOIN sure s ON s.connection_key = l.connection_key AND s.source_ref = l.parent_ref
    LEFT JOIN task k ON k.project_id = s.our_id AND lower(k.task_name) = lower(l.name) AND k.superseded_at IS NULL
    LEFT JOIN project p ON p.project_id = k.project_id
    GROUP BY 1, 2, 3, 4, 5, 6
), erp_task AS (
    -- What an ERP bills by is a task for each rate: it has the name of ours, alone or with the labor category, and
    -- the rate of the line.
    SELECT n.connection_key, n.source_ref, n.name, n.code, n.parent_ref, c.contract_line_id,
           p.project_code || ' / ' || c.task_name || ' / ' || c.labor_category AS ours, c.task_name
    FROM newest n
    LEFT JOIN sure s ON s.connection_key = n.connection_key AND s.source_ref = n.parent_ref
    LEFT JOIN project p ON p.project_id = s.our_id
    LEFT JOIN contract_line c ON c.contract_id = p.contract_id AND c.superseded_at IS NULL
         AND c.rate_amount = nullif(n.rate, '')::numeric
         AND lower(n.name) IN (lower(c.task_name), lower(c.task_name || ' | ' || c.labor_category),
                               lower(c.task_name || ' | ' || c.labor_category || ' | from ' || c.starts_on))
    WHERE n.noun = 'WorkItem' AND n.item_kind = 'task' AND n.parent_ref IS NOT NULL AND n.system_kind = 'erp'
      AND NOT EXISTS (SELECT FROM standing x WHERE x.connection_key = n.connection_key AND x.noun = 'erp_task'
                      AND x.source_ref = n.source_ref)
), erp_task_row AS (
    SELECT connection_key, 'erp_task' AS noun, source_ref, name, code, parent_ref AS parent,
           min(contract_line_id::text)::uuid AS our_id,
           CASE WHEN count(contract_line_id) > 0 THEN 'same name and rate in the same project' END AS why, 1 AS rank,
           count(contract_line_id) AS fits, min(ours) AS ours, min(task_name) AS our_name
    FROM erp_task GROUP BY 1, 3, 4, 5, 6
), person_fit AS (
    -- One join after the other: asked for either at once, everybody there would meet everybody here.
    SELECT n.connection_key, n.source_ref, s.subject_id, s.email, s.name, 1 AS rank
    FROM newest n JOIN subject s ON s.kind = 'person' AND lower(s.email) = n.email
    WHERE n.noun = 'Person'
    UNION ALL
    SELECT n.connection_key, n.source_ref, s.subject_id, s.email, s.name, 3
    FROM newest n JOIN subject s ON s.kind = 'person' AND lower(s.name) = lower(n.name)
    WHERE n.noun = 'Person'
), person_best AS (
    SELECT *, min(rank) OVER (PARTITION BY connection_key, source_ref) AS best FROM person_fit
), person_row AS (
    SELECT n.connection_key, 'person' AS noun, n.source_ref, n.name, n.email AS code, '' AS parent,
           min(p.person_id::text)::uuid AS our_id,
           CASE min(f.rank) WHEN 1 THEN 'same e-mail' WHEN 3 THEN 'same name only' END AS why, min(f.rank) AS rank,
           count(DISTINCT p.person_id) AS fits, min(f.email) AS ours, min(f.name) AS our_name
    FROM newest n
    LEFT JOIN person_best f ON f.connection_key = n.connection_key AND f.source_ref = n.source_ref AND f.rank = f.best
    LEFT JOIN person p ON p.person_id = f.subject_id AND p.redirect_to IS NULL
    WHERE n.noun = 'Person' AND n.system_kind <> 'erp'
      AND NOT EXISTS (SELECT FROM standing s WHERE s.connection_key = n.connection_key AND s.noun = 'person'
                      AND s.source_ref = n.source_ref)
    GROUP BY 1, 2, 3, 4, 5
), client_row AS (
    -- Who a client is, is asked in a case of its own, and answered by two people.
    SELECT n.connection_key, 'client' AS noun, n.source_ref, n.name, NULL::text AS code, '' AS parent, NULL::uuid AS our_id,
           NULL::text AS why, 9 AS rank, 0::bigint AS fits, NULL::text AS ours, NULL::text AS our_name
    FROM newest n
    WHERE n.noun = 'Client'
      AND NOT EXISTS (SELECT FROM standing s WHERE s.connection_key = n.connection_key AND s.noun = 'client'
                      AND s.source_ref = n.source_ref)
), every AS (
    SELECT * FROM project_row UNION ALL SELECT * FROM task_row UNION ALL SELECT * FROM person_row
    UNION ALL SELECT * FROM client_row UNION ALL SELECT * FROM erp_task_row
)
SELECT e.connection_key, e.noun, e.source_ref, e.name, coalesce(e.code, '') AS code, e.parent,
       CASE WHEN e.fits = 1 AND rivals = 1 AND taken.source_ref IS NULL THEN e.our_id END AS our_id,
       coalesce(e.ours, '') AS ours, coalesce(e.our_name, '') AS our_name,
       CASE WHEN e.noun = 'client' THEN 'client'
            WHEN let.source_ref IS NOT NULL THEN 'left'
            WHEN e.fits = 0 THEN 'nothing'
            WHEN e.fits > 1 THEN 'several'
            WHEN taken.source_ref IS NOT NULL THEN 'taken'
            WHEN rivals > 1 THEN 'rivals'
            WHEN e.rank = 3 THEN 'weak'
            ELSE 'strong' END AS state,
       CASE WHEN e.noun = 'client' THEN 'no client of ours is surely this one: decide in its case Same client?'
            WHEN let.source_ref IS NOT NULL THEN let.left_by || ' left it: ' || let.reason
            WHEN e.fits = 0 THEN 'nothing of ours has this code or name'
            WHEN e.fits > 1 THEN e.fits || ' of ours fit: ' || e.why
            WHEN taken.source_ref IS NOT NULL THEN 'ours is ' || taken.source_ref || ' there already'
            WHEN rivals > 1 THEN rivals || ' records there fit the same one of ours: ' || e.why
            ELSE e.why END AS why
FROM (
    SELECT every.*, count(*) FILTER (WHERE fits = 1) OVER (PARTITION BY connection_key, noun, our_id) AS rivals FROM every
) e
LEFT JOIN standing taken ON taken.connection_key = e.connection_key AND taken.noun = e.noun AND taken.our_id = e.our_id
LEFT JOIN adoption_left let ON let.connection_key = e.connection_key AND let.noun = e.noun
    AND let.source_ref = e.source_ref AND let.superseded_at IS NULL
ORDER BY array_position(ARRAY['client', 'person', 'project', 'task', 'erp_task'], e.noun), e.connection_key, e.name, e.source_ref
