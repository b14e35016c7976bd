-- Who manages which project, as a time tool or a staffing list says. A time tool names both by what they are there, a
-- list by address and code; who was merged is read as the one who stays.
CREATE INDEX source_version_managers ON source_version (connection_key)
    WHERE is_newest AND noun = 'StaffingFact' AND data ->> 'manages_project' = 'true';
CREATE VIEW project_manager WITH (security_invoker = true) AS
    WITH told AS (
        SELECT v.connection_key, v.data
        FROM source_version v
        JOIN connection k ON k.connection_key = v.connection_key AND k.source_epoch = v.source_epoch
        WHERE v.is_newest AND v.noun = 'StaffingFact' AND v.data ->> 'manages_project' = 'true' AND NOT v.is_deleted
          AND v.data ->> 'fact' = 'assignment' AND coalesce(v.data -> 'extras' ->> 'is_active', 'true') = 'true'
    ), named AS (
        SELECT w.our_id AS project_id, x.our_id AS person_id, NULL::date AS starts_on, NULL::date AS ends_on
        FROM told t
        JOIN crosswalk w ON w.connection_key = t.connection_key AND w.noun = 'project' AND w.superseded_at IS NULL
            AND w.source_ref = t.data -> 'extras' ->> 'project_ref'
        JOIN crosswalk x ON x.connection_key = t.connection_key AND x.noun = 'person' AND x.superseded_at IS NULL
            AND x.source_ref = t.data -> 'extras' ->> 'user_ref'
        UNION ALL
        SELECT j.project_id, s.subject_id, (t.data ->> 'starts_on')::date, (t.data ->> 'ends_on')::date
        FROM told t
        JOIN project j ON j.project_code = t.data ->> 'project_code'
        JOIN subject s ON s.kind = 'person' AND lower(s.email) = lower(btrim(t.data ->> 'person_email'))
    )
    SELECT DISTINCT n.project_id, coalesce(p.redirect_to, p.person_id) AS person_id, n.starts_on, n.ends_on
    FROM named n
    JOIN person p ON p.person_id = n.person_id;
GRANT SELECT ON project_manager TO tieline_worker, tieline_judge;
