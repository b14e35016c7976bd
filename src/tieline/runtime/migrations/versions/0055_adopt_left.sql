-- A record of another system that somebody looked at and left without a link: it is proposed no more until somebody
-- takes that back. Like the records themselves it belongs to no legal entity, and only the worker reads it.
CREATE TABLE adoption_left (
    connection_key text NOT NULL REFERENCES connection,
    noun          text NOT NULL CHECK (noun IN ('person', 'project', 'task', 'erp_task')),
    source_ref    text NOT NULL,
    left_by       text NOT NULL,
    reason        text NOT NULL CHECK (reason <> ''),
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz CHECK (superseded_at >= recorded_at)
);
CREATE UNIQUE INDEX adoption_left_once ON adoption_left (connection_key, noun, source_ref) WHERE superseded_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON adoption_left TO tieline_worker;

-- Since when hours of a connection count for a legal entity, and what was received from before: never posted.
CREATE FUNCTION page_go_lives()
RETURNS TABLE (connection_key text, entity_code text, go_live_on date, early_entries bigint, early_seconds bigint,
    counted_entries bigint, counted_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    WITH told AS (
        SELECT p.connection_key, p.entity_code, count(*) FILTER (WHERE p.because = 'before_go_live') AS early,
               sum(p.seconds) FILTER (WHERE p.because = 'before_go_live') AS early_seconds,
               count(*) FILTER (WHERE p.place NOT IN ('outside', 'leaving')) AS counted,
               sum(p.seconds) FILTER (WHERE p.place NOT IN ('outside', 'leaving')) AS counted_seconds
        FROM entry_place p
        WHERE p.entity_code IS NOT NULL AND in_sight(p.entity_code)
        GROUP BY 1, 2
    )
    SELECT k.connection_key, e.entity_code, g.go_live_on, coalesce(t.early, 0), coalesce(t.early_seconds, 0)::bigint,
           coalesce(t.counted, 0), coalesce(t.counted_seconds, 0)::bigint
    FROM connection k
    CROSS JOIN legal_entity e
    LEFT JOIN connection_go_live g ON g.connection_key = k.connection_key AND g.entity_code = e.entity_code
    LEFT JOIN told t ON t.connection_key = k.connection_key AND t.entity_code = e.entity_code
    WHERE in_sight(e.entity_code) AND (k.kind = 'time' OR g.go_live_on IS NOT NULL OR t.entity_code IS NOT NULL)
    ORDER BY 1, 2
$$;
REVOKE ALL ON FUNCTION page_go_lives() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_go_lives() TO tieline_web, tieline_worker;
