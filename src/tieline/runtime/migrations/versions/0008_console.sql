-- What the console shows. Each function runs with the owner's rights and looks itself at what its caller may see.

-- Somebody is logged in for at least one legal entity; what belongs to none yet is shown to them.
CREATE FUNCTION page_sees(entity_code text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT tieline.visible_entity(entity_code)
        OR (entity_code IS NULL AND coalesce(current_setting('tieline.entities', true), '') <> '')
$$;

CREATE FUNCTION page_entities()
RETURNS TABLE (entity_code text, name text, currency text, zone text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT e.entity_code, e.name, e.currency, e.zone FROM legal_entity e
    WHERE visible_entity(e.entity_code) ORDER BY e.entity_code
$$;

-- The line that adds up. What was approved is counted from the newest versions themselves, not from the five
-- places, so that an hour which is in none of them shows as a difference.
CREATE FUNCTION page_close_lines()
RETURNS TABLE (entity_code text, period_id uuid, period_code text, period_state text, starts_on date,
    cut_off_at timestamptz, entries bigint, approved_seconds bigint, posted_seconds bigint,
    pending_seconds bigint, held_seconds bigint, excluded_seconds bigint, handed_over_seconds bigint,
    leaving_seconds bigint, uncounted_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT p.entity_code, f.period_id, f.period_code, f.state, f.starts_on, f.cut_off_at,
           count(*) FILTER (WHERE p.place NOT IN ('outside', 'leaving')),
           coalesce(sum(w.seconds) FILTER (WHERE NOT w.is_deleted AND w.approval <> 'not_approved'
                                             AND v.outcome IS DISTINCT FROM 'outside'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'posted'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'pending'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'held'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'excluded'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'handed_over'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'leaving'), 0)::bigint,
           coalesce(sum(w.seconds) FILTER (WHERE p.place = 'outside' AND NOT w.is_deleted), 0)::bigint
    FROM entry_place p
    JOIN time_entry_version w ON w.entry_id = p.entry_id AND w.is_newest
    LEFT JOIN verdict v ON v.verdict_id = p.verdict_id AND v.version = w.version
    LEFT JOIN fiscal_period f ON f.period_id = p.period_id
    WHERE page_sees(p.entity_code)
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1 NULLS LAST, f.starts_on NULLS LAST
$$;

-- How fresh a connection is: its stalest stream, and what its streams last failed with.
CREATE FUNCTION page_freshness()
RETURNS TABLE (connection_key text, read_at timestamptz, errors text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT k.connection_key, min(k.read_at) FILTER (WHERE k.stream NOT LIKE '%#whole'),
           array_agg(DISTINCT k.last_error) FILTER (WHERE k.last_error IS NOT NULL)
    FROM stream_cursor k
    WHERE coalesce(current_setting('tieline.entities', true), '') <> ''
    GROUP BY 1
$$;

REVOKE ALL ON FUNCTION page_entities(), page_close_lines(), page_freshness() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_entities(), page_close_lines(), page_freshness()
    TO tieline_web, tieline_worker, tieline_judge;
