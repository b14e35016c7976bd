-- Whose approval an hour waits for is found for all hours together: it was looked for hour by hour, and then each was
-- held against all of the same person, since a project that may be none is no key to hash by.
DO $$
DECLARE
    body text := pg_get_functiondef('page_missing_time(text, text, timestamptz, timestamptz)'::regprocedure);
    told text[];
BEGIN
    FOREACH told SLICE 1 IN ARRAY ARRAY[
        ['SELECT k.*, CASE WHEN a.approvers = 1 THEN a.approver_id END AS approver_id',
         'SELECT k.person_id, k.connection_key, k.project_ref, k.work_date,
               CASE WHEN count(DISTINCT a.approver_id) = 1 THEN min(a.approver_id::text)::uuid END AS approver_id'],
        ['CROSS JOIN LATERAL (
            SELECT count(DISTINCT c.person_id) AS approvers, (array_agg(c.person_id))[1] AS approver_id
            FROM crosswalk x
            JOIN assignment a ON a.project_id = x.our_id AND daterange(a.starts_on, a.ends_on) @> k.work_date
                AND a.recorded_at <= known AND (a.superseded_at IS NULL OR a.superseded_at > known)
            JOIN one o ON o.alias_id = a.person_id AND o.person_id = k.person_id
            JOIN one c ON c.alias_id = a.approver_id
            WHERE x.connection_key = k.connection_key AND x.noun = ''project'' AND x.source_ref = k.project_ref
              AND daterange(x.starts_on, x.ends_on) @> k.work_date AND x.recorded_at <= known
              AND (x.superseded_at IS NULL OR x.superseded_at > known)
        ) a',
         'LEFT JOIN (
            SELECT x.connection_key, x.source_ref, daterange(x.starts_on, x.ends_on) * daterange(a.starts_on, a.ends_on)
                   AS valid, o.person_id, c.person_id AS approver_id
            FROM crosswalk x
            JOIN assignment a ON a.project_id = x.our_id
                AND a.recorded_at <= known AND (a.superseded_at IS NULL OR a.superseded_at > known)
            JOIN one o ON o.alias_id = a.person_id
            JOIN one c ON c.alias_id = a.approver_id
            WHERE x.noun = ''project'' AND x.recorded_at <= known
              AND (x.superseded_at IS NULL OR x.superseded_at > known)
        ) a ON a.connection_key = k.connection_key AND a.source_ref = k.project_ref AND a.person_id = k.person_id
            AND a.valid @> k.work_date
        GROUP BY 1, 2, 3, 4'],
        ['p.project_ref IS NOT DISTINCT FROM e.project_ref', 'coalesce(p.project_ref, '''') = coalesce(e.project_ref, '''')']]
    LOOP
        IF position(told[1] IN body) = 0 THEN
            RAISE EXCEPTION 'page_missing_time does not look for approvers as it did: %', told[1];
        END IF;
        body := replace(body, told[1], told[2]);
    END LOOP;
    EXECUTE body;
END $$;
