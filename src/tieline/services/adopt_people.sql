-- Everybody whom a system knows and who is no link of ours yet, with the one of ours who has the e-mail or the name. Of
-- some alone (is_whole false) only those are asked about who have one of the words.
INSERT INTO adopt_proposed (connection_key, noun, source_ref, own_ref, name, code, parent, fit_id, fits, rivals, rank, ours,
    our_name, why)
WITH theirs AS (
    SELECT n.connection_key, n.source_ref, n.name, n.email
    FROM adoption_record n
    WHERE n.noun = 'Person' AND n.system_kind <> 'erp'
      AND (%(is_whole)s OR n.email = ANY (%(words)s) OR lower(n.name) = ANY (%(words)s))
      AND NOT EXISTS (SELECT FROM crosswalk x WHERE x.connection_key = n.connection_key AND x.noun = 'person'
                      AND x.source_ref = n.source_ref AND x.superseded_at IS NULL AND x.scope = '')
), fitting AS (
    -- One join after the other: asked for either at once, everybody there would meet everybody here.
    SELECT n.connection_key, n.source_ref, s.subject_id, s.email, s.name, 1 AS rank
    FROM theirs n JOIN subject s ON s.kind = 'person' AND lower(s.email) = n.email
    UNION ALL
    SELECT n.connection_key, n.source_ref, s.subject_id, s.email, s.name, 3
    FROM theirs n JOIN subject s ON s.kind = 'person' AND lower(s.name) = lower(n.name)
), best AS (
    SELECT *, min(rank) OVER (PARTITION BY connection_key, source_ref) AS best FROM fitting
), fit AS (
    SELECT n.connection_key, n.source_ref, n.name, n.email, min(p.person_id::text)::uuid AS fit_id,
           count(DISTINCT p.person_id) AS fits, min(b.rank) AS rank, min(b.email) AS ours, min(b.name) AS our_name
    FROM theirs n
    LEFT JOIN best b ON b.connection_key = n.connection_key AND b.source_ref = n.source_ref AND b.rank = b.best
    LEFT JOIN person p ON p.person_id = b.subject_id AND p.redirect_to IS NULL
    GROUP BY 1, 2, 3, 4
)
SELECT connection_key, 'person', source_ref, source_ref, name, coalesce(email, ''), '', fit_id, fits,
       count(*) FILTER (WHERE fits = 1) OVER (PARTITION BY connection_key, fit_id), rank, coalesce(ours, ''),
       coalesce(our_name, ''), CASE rank WHEN 1 THEN 'same e-mail' WHEN 3 THEN 'same name only' END
FROM fit
