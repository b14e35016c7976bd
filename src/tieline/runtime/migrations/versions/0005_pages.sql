-- Hours carry no row security, so that the worker can copy them in; pages see sums through this function,
-- which runs with the owner's rights and looks itself which legal entities the caller may see.
CREATE FUNCTION page_tie_out()
RETURNS TABLE (entity_code text, period_code text, period_state text, cut_off_at timestamptz, entries bigint,
    approved_seconds bigint, posted_seconds bigint, pending_seconds bigint, held_seconds bigint,
    excluded_seconds bigint, handed_over_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT p.entity_code, f.period_code, f.state, f.cut_off_at, count(*), sum(p.seconds)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'posted'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'pending'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'held'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'excluded'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'handed_over'), 0)::bigint
    FROM entry_place p JOIN fiscal_period f ON f.period_id = p.period_id
    WHERE tieline.visible_entity(p.entity_code) AND p.place <> 'outside'
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
$$;
REVOKE ALL ON FUNCTION page_tie_out() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_tie_out() TO tieline_web, tieline_worker, tieline_judge;
