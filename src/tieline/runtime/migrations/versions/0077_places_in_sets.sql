-- Where each hour is, in two views of one text: entry_place looks an hour's effects up by key, once; entry_places sums
-- those of all hours and joins them, for whoever counts everything. A line of 150,000 hours takes a fraction of the time.
DO $do$
DECLARE
    effects text := $sql$
        bool_or(e.state IN ('REJECTED', 'CONFLICT')) AS is_refused,
        min(e.planned_at) FILTER (WHERE e.state NOT IN ('CONFIRMED', 'REJECTED', 'CONFLICT', 'WITHDRAWN')) AS planned_at,
        bool_or(e.stands) AS stands, bool_or(e.stands AND e.state = 'CONFIRMED') AS is_confirmed,
        (array_agg(e.posting_hash) FILTER (WHERE e.stands AND e.state = 'CONFIRMED'))[1] AS confirmed_hash,
        sum(e.seconds) FILTER (WHERE e.stands AND e.state = 'CONFIRMED') AS confirmed_seconds
        FROM (
            SELECT b.entry_id, b.state, b.planned_at, b.posting_hash, b.seconds,
                   b.noun = 'time_line' AND b.kind = 'book' AND u.business_key IS NULL
                   AND b.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT', 'HANDED_OVER') AS stands
            FROM effect b
            LEFT JOIN effect u ON u.undoes_key = b.business_key AND u.kind = 'void' AND u.state = 'CONFIRMED'
        ) e$sql$;
    places text := $sql$
        SELECT p.entry_id, p.connection_key, p.entity_code, p.project_id, p.contract_id, p.period_id, p.seconds, p.work_date,
               p.verdict_id,
               CASE WHEN p.place = 'pending' AND EXISTS (
                        SELECT FROM case_member m JOIN case_file c USING (case_id)
                        WHERE m.entry_id = p.entry_id AND m.left_at IS NULL AND c.state = 'open'
                          AND c.reason = 'time.waiting_too_long')
                    THEN 'held' ELSE p.place END AS place,
               p.because,
               CASE p.place WHEN 'pending' THEN 'integration' WHEN 'handed_over' THEN 'finance' END AS owner_queue,
               CASE p.place WHEN 'pending' THEN coalesce(p.parked_until,
                                p.waits_since + make_interval(secs => pending_seconds()::double precision))
                            WHEN 'handed_over' THEN p.valid_until END AS due_at
        FROM (
            SELECT t.entry_id, t.connection_key, v.entity_code, v.project_id, v.contract_id, v.period_id, w.seconds,
                   w.work_date, v.verdict_id,
                   CASE WHEN w.is_deleted OR w.approval = 'not_approved'
                        THEN CASE WHEN o.stands THEN 'leaving' ELSE 'outside' END
                        WHEN h.entry_id IS NOT NULL THEN 'handed_over'
                        WHEN v.verdict_id IS NULL THEN 'pending'
                        WHEN v.outcome IN ('outside', 'excluded', 'held') THEN v.outcome
                        WHEN v.outcome = 'parked' THEN 'pending'
                        WHEN o.is_refused THEN 'held'
                        WHEN d.is_posted THEN 'posted' ELSE 'pending' END AS place,
                   CASE WHEN w.is_deleted THEN 'deleted'
                        WHEN w.approval = 'not_approved' THEN 'not_approved'
                        WHEN h.entry_id IS NOT NULL THEN h.file_name
                        WHEN v.verdict_id IS NULL THEN 'not_judged'
                        WHEN v.outcome = 'outside' THEN 'before_go_live'
                        WHEN v.outcome = 'excluded' THEN (SELECT x.reason FROM exclusion x WHERE x.entry_id = t.entry_id)
                        WHEN v.outcome IN ('held', 'parked') THEN v.outcome
                        WHEN o.is_refused THEN 'refused'
                        WHEN d.is_posted THEN 'posted'
                        WHEN o.is_confirmed THEN 'being_corrected'
                        WHEN o.stands THEN 'unconfirmed' ELSE 'not_sent' END AS because,
                   CASE WHEN v.outcome = 'parked' THEN v.parked_until END AS parked_until, h.valid_until,
                   coalesce(o.planned_at, v.judged_at, w.recorded_at) AS waits_since
            FROM time_entry t
            JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
            LEFT JOIN verdict v ON v.verdict_id = t.verdict_id AND v.version = t.newest_version
            LEFT JOIN handed_over h ON h.entry_id = t.entry_id
            {effects}
            CROSS JOIN LATERAL (
                -- Of an hour that is split, both lines.
                SELECT o.is_confirmed AND o.confirmed_hash IS NOT DISTINCT FROM v.posting_hash
                       AND (v.capped_seconds IS NULL OR v.seconds = o.confirmed_seconds) AS is_posted
            ) d
            {once}
        ) p$sql$;
BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW entry_place AS '
        || replace(replace(places, '{effects}',
               'CROSS JOIN LATERAL (SELECT ' || effects || ' WHERE e.entry_id = t.entry_id) o'), '{once}', '');
    -- A place is found once for an hour, however often it is read.
    EXECUTE 'CREATE VIEW entry_places AS '
        || replace(replace(places, '{effects}', 'LEFT JOIN (SELECT e.entry_id, ' || effects
               || ' WHERE e.entry_id IS NOT NULL GROUP BY e.entry_id) o ON o.entry_id = t.entry_id'), '{once}', 'OFFSET 0');
END $do$;
GRANT SELECT ON entry_places TO tieline_worker, tieline_judge;

-- Summed first, and then asked who may see it: a question for each sum, not for each hour.
CREATE OR REPLACE FUNCTION page_tie_out()
RETURNS TABLE (entity_code text, period_code text, period_state text, cut_off_at timestamptz, entries bigint,
    approved_seconds bigint, posted_seconds bigint, pending_seconds bigint, held_seconds bigint, excluded_seconds bigint,
    handed_over_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp
SET enable_nestloop = off SET work_mem = '64MB' AS $$
    WITH sums AS MATERIALIZED (
        SELECT p.entity_code, p.period_id, p.place, count(*) AS entries, sum(p.seconds) AS seconds
        FROM entry_places p GROUP BY 1, 2, 3
    )
    SELECT s.entity_code, f.period_code, f.state, f.cut_off_at, sum(s.entries)::bigint, sum(s.seconds)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'posted'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'pending'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'held'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'excluded'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'handed_over'), 0)::bigint
    FROM sums s
    JOIN fiscal_period f ON f.period_id = s.period_id
    WHERE visible_entity(s.entity_code)
      AND s.place IN ('posted', 'pending', 'held', 'excluded', 'handed_over')
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
$$;

CREATE OR REPLACE FUNCTION page_close_lines()
RETURNS TABLE (entity_code text, period_id uuid, period_code text, period_state text, starts_on date,
    cut_off_at timestamptz, entries bigint, approved_seconds bigint, posted_seconds bigint, pending_seconds bigint,
    held_seconds bigint, excluded_seconds bigint, handed_over_seconds bigint, leaving_seconds bigint,
    uncounted_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp
SET enable_nestloop = off SET work_mem = '64MB' AS $$
    WITH sums AS MATERIALIZED (
        SELECT p.entity_code, p.period_id, p.place, count(*) AS entries, sum(p.seconds) AS seconds,
               sum(w.seconds) FILTER (WHERE NOT w.is_deleted AND w.approval <> 'not_approved'
                                        AND v.outcome IS DISTINCT FROM 'outside') AS approved,
               sum(w.seconds) FILTER (WHERE NOT w.is_deleted) AS kept
        FROM entry_places p
        JOIN time_entry_version w ON w.entry_id = p.entry_id AND w.is_newest
        LEFT JOIN verdict v ON v.verdict_id = p.verdict_id AND v.version = w.version
        GROUP BY 1, 2, 3
    )
    SELECT s.entity_code, f.period_id, f.period_code, f.state, f.starts_on, f.cut_off_at,
           coalesce(sum(s.entries) FILTER (WHERE s.place NOT IN ('outside', 'leaving')), 0)::bigint,
           coalesce(sum(s.approved), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'posted'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'pending'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'held'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'excluded'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'handed_over'), 0)::bigint,
           coalesce(sum(s.seconds) FILTER (WHERE s.place = 'leaving'), 0)::bigint,
           coalesce(sum(s.kept) FILTER (WHERE s.place = 'outside'), 0)::bigint
    FROM sums s
    LEFT JOIN fiscal_period f ON f.period_id = s.period_id
    WHERE page_sees(s.entity_code)
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1 NULLS LAST, f.starts_on NULLS LAST
$$;

CREATE OR REPLACE FUNCTION page_go_lives()
RETURNS TABLE (connection_key text, entity_code text, go_live_on date, early_entries bigint, early_seconds bigint,
    counted_entries bigint, counted_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp
SET enable_nestloop = off SET work_mem = '64MB' AS $$
    WITH told AS MATERIALIZED (
        SELECT p.connection_key, p.entity_code, count(*) FILTER (WHERE p.because = 'before_go_live') AS early,
               sum(p.seconds) FILTER (WHERE p.because = 'before_go_live') AS early_seconds,
               count(*) FILTER (WHERE p.place NOT IN ('outside', 'leaving')) AS counted,
               sum(p.seconds) FILTER (WHERE p.place NOT IN ('outside', 'leaving')) AS counted_seconds
        FROM entry_places p
        WHERE p.entity_code IS NOT NULL
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

-- Steps of these pages are sums that no statistics are kept of: a planner expects a row of each, and holds every day of
-- everybody against every other. With 600 people and 150,000 hours a page took ten times as long that way.
ALTER FUNCTION page_missing_time(text, text, timestamptz, timestamptz) SET enable_nestloop = off;
ALTER FUNCTION page_delivery(text, timestamptz, timestamptz, integer, integer) SET enable_nestloop = off;
