-- What things are called by people: a case and a deal name them by a connection's reference, and an hour that waits
-- (kind hour) by our id. Only what a case or a deal in sight speaks of is named.
CREATE FUNCTION page_names(kinds text[], keys text[]) RETURNS TABLE (kind text, key text, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    WITH seen AS MATERIALIZED (
        SELECT a.kind, a.key, split_part(a.key, ':', 1) AS connection_key,
               substr(a.key, position(':' IN a.key) + 1) AS source_ref
        FROM (SELECT DISTINCT * FROM unnest(kinds, keys)) a (kind, key)
        WHERE EXISTS (SELECT FROM case_file c
                      WHERE c.thing_kind = a.kind AND c.thing_key = a.key AND in_sight(c.entity_code))
           OR (a.kind = 'deal' AND EXISTS (SELECT FROM provisioning_plan p
                                           WHERE p.deal_key = a.key AND in_sight(p.entity_code)))
           OR (a.kind = 'hour' AND EXISTS (SELECT FROM case_member m JOIN case_file c USING (case_id)
                                           WHERE m.entry_id = CASE WHEN a.kind = 'hour' THEN a.key::uuid END
                                             AND in_sight(c.entity_code)))
    )
    SELECT s.kind, s.key, v.name FROM seen s
    JOIN source_version w ON w.connection_key = s.connection_key AND w.source_ref = s.source_ref AND w.is_newest
         AND w.noun = CASE s.kind WHEN 'deal' THEN 'Opportunity' ELSE 'Client' END
    CROSS JOIN LATERAL (SELECT w.data ->> 'name' AS name) v
    WHERE s.kind IN ('deal', 'client') AND v.name <> ''
    UNION ALL
    SELECT s.kind, s.key, concat_ws(', ', c.contract_code, v.name) FROM seen s
    JOIN contract c ON c.contract_id = CASE WHEN s.key ~ '^[0-9a-f-]{36}$' THEN s.key::uuid END
    LEFT JOIN contract_version v ON v.contract_id = c.contract_id AND v.superseded_at IS NULL
    WHERE s.kind = 'contract'
    UNION ALL
    SELECT s.kind, s.key, concat_ws(', ', p.project_code, v.name) FROM seen s
    JOIN crosswalk x ON x.connection_key = s.connection_key AND x.noun = 'project' AND x.source_ref = s.source_ref
         AND x.superseded_at IS NULL AND x.ends_on IS NULL
    JOIN project p ON p.project_id = x.our_id
    LEFT JOIN project_version v ON v.project_id = p.project_id AND v.superseded_at IS NULL
    WHERE s.kind = 'project'
    UNION ALL
    SELECT s.kind, s.key, concat_ws(', ', e.name, f.period_code) FROM seen s
    JOIN fiscal_period f ON f.period_id = CASE WHEN s.key ~ '^[0-9a-f-]{36}$' THEN s.key::uuid END
    JOIN legal_entity e ON e.entity_code = f.entity_code
    WHERE s.kind = 'period'
    UNION ALL
    SELECT s.kind, s.key, concat(n.name, ', ', s.told) FROM (
        SELECT s.kind, s.key, s.connection_key, left(s.source_ref, -11) AS person_ref,
               'week of ' || right(s.source_ref, 10) AS told
        FROM seen s WHERE s.kind = 'person_week' AND s.source_ref ~ ':\d{4}-\d\d-\d\d$'
        UNION ALL
        SELECT s.kind, s.key, s.connection_key, w.person_ref, w.work_date::text
        FROM seen s
        JOIN time_entry t ON t.connection_key = s.connection_key AND t.source_ref = s.source_ref
        JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
        WHERE s.kind = 'entry'
        UNION ALL
        SELECT s.kind, s.key, t.connection_key, w.person_ref, w.work_date::text
        FROM seen s
        JOIN time_entry t ON t.entry_id = CASE WHEN s.kind = 'hour' THEN s.key::uuid END
        JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
        WHERE s.kind = 'hour'
    ) s
    JOIN crosswalk x ON x.connection_key = s.connection_key AND x.noun = 'person' AND x.source_ref = s.person_ref
         AND x.superseded_at IS NULL AND x.scope = ''
    JOIN person p ON p.person_id = x.our_id
    JOIN subject n ON n.subject_id = coalesce(p.redirect_to, p.person_id)
    -- Who works for somebody else is named to those for whom they work, too, and to nobody beside.
    WHERE n.name <> '' AND (
        EXISTS (SELECT FROM employment e
                WHERE e.person_id = p.person_id AND e.superseded_at IS NULL AND in_sight(e.entity_code))
        OR EXISTS (SELECT FROM assignment a JOIN project j USING (project_id)
                   WHERE a.person_id = p.person_id AND a.superseded_at IS NULL AND in_sight(j.entity_code)))
$$;
REVOKE ALL ON FUNCTION page_names(text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_names(text[], text[]) TO tieline_web, tieline_worker;

-- How fresh a connection is, by the streams that it reads today: one that it was told to leave is old for good.
CREATE OR REPLACE FUNCTION page_freshness()
RETURNS TABLE (connection_key text, read_at timestamptz, errors text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT k.connection_key, min(k.read_at) FILTER (WHERE k.stream NOT LIKE '%#whole'),
           array_agg(DISTINCT k.last_error) FILTER (WHERE k.last_error IS NOT NULL)
    FROM stream_cursor k
    JOIN connection c USING (connection_key)
    WHERE coalesce(current_setting('tieline.entities', true), '') <> ''
      AND (c.config -> 'streams' IS NULL OR c.config -> 'streams' ? split_part(k.stream, '#', 1))
    GROUP BY 1
$$;

-- Nobody knows how many days of somebody there are, so a merge by person alone looked cheap: each hour met each day.
ALTER FUNCTION page_missing_time(text, text, timestamptz, timestamptz) SET enable_mergejoin = off;
