-- Every project that a system holds and that is no link of ours yet, with the one of ours that has its code, or its name
-- and client. Of some alone (is_whole false) only those are asked about that have one of the words.
INSERT INTO adopt_proposed (connection_key, noun, source_ref, own_ref, name, code, parent, fit_id, fits, rivals, rank, ours,
    our_name, why)
WITH standing AS (
    SELECT connection_key, noun, source_ref, our_id FROM crosswalk
    WHERE superseded_at IS NULL AND scope = '' AND noun IN ('client', 'project')
), our_project AS (
    SELECT p.project_id, p.project_code, v.name, coalesce(n.redirect_to, n.client_id) AS client_id
    FROM project p
    JOIN project_version v ON v.project_id = p.project_id AND v.superseded_at IS NULL
    JOIN contract k USING (contract_id) JOIN client n ON n.client_id = k.client_id
    WHERE %(is_whole)s OR lower(p.project_code) = ANY (%(words)s) OR lower(v.name) = ANY (%(words)s)
), loose AS (
    -- A project that is no link yet, with the client it stands for there.
    SELECT r.connection_key, r.source_ref, r.name, r.code, coalesce(c.redirect_to, c.client_id) AS client_id
    FROM adoption_record r
    LEFT JOIN standing x ON x.connection_key = r.connection_key AND x.noun = 'client' AND x.source_ref = r.client_ref
    LEFT JOIN client c ON c.client_id = x.our_id
    WHERE r.noun = 'WorkItem' AND r.item_kind = 'project'
      AND (%(is_whole)s OR lower(r.code) = ANY (%(words)s) OR lower(r.name) = ANY (%(words)s))
      AND NOT EXISTS (SELECT FROM standing s WHERE s.connection_key = r.connection_key AND s.noun = 'project'
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
           (array_agg(f.project_id ORDER BY f.project_id))[1] AS fit_id
    FROM fitting f JOIN best b USING (connection_key, source_ref, rank)
    GROUP BY 1, 2, 3
)
SELECT l.connection_key, 'project', l.source_ref, l.source_ref, l.name, coalesce(l.code, ''), '', c.fit_id,
       coalesce(c.fits, 0), count(*) FILTER (WHERE c.fits = 1) OVER (PARTITION BY l.connection_key, c.fit_id), c.rank,
       coalesce(o.project_code, ''), coalesce(o.name, ''), c.why
FROM loose l
LEFT JOIN chosen c USING (connection_key, source_ref)
LEFT JOIN our_project o ON o.project_id = c.fit_id
