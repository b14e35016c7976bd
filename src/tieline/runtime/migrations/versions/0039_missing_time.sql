-- What an hour of a person is worth was taken from the currency with the larger number, over hours of all of them.
CREATE OR REPLACE FUNCTION page_missing_time(from_on date, until_on date, entity text, known timestamptz)
RETURNS TABLE (person_id uuid, person_name text, email text, entity_code text, week_on date, expected_seconds bigint,
    entered_seconds bigint, approved_seconds bigint, unknown_days integer, unknown text, hour_amount numeric,
    currency text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH employed AS MATERIALIZED (
        SELECT DISTINCT coalesce(p.redirect_to, p.person_id) AS person_id
        FROM employment e JOIN person p USING (person_id)
        WHERE e.is_home AND daterange(e.starts_on, e.ends_on) && daterange(from_on, until_on)
          AND in_sight(e.entity_code) AND (entity = '' OR e.entity_code = entity)
          AND e.recorded_at <= known AND (e.superseded_at IS NULL OR e.superseded_at > known)
    ), day_fact AS MATERIALIZED (
        SELECT e.person_id, d.on_date, x.expected_seconds, x.unknown, x.home_entity_code
        FROM employed e
        CROSS JOIN (SELECT from_on + n AS on_date FROM generate_series(0, until_on - from_on - 1) n) d
        CROSS JOIN LATERAL expected_day(e.person_id, d.on_date, known) x
        WHERE x.home_entity_code IS NOT NULL AND in_sight(x.home_entity_code)
          AND (entity = '' OR x.home_entity_code = entity)
    ), name AS MATERIALIZED (
        SELECT e.person_id, x.connection_key, x.source_ref, daterange(x.starts_on, x.ends_on) AS valid
        FROM employed e
        JOIN person p ON coalesce(p.redirect_to, p.person_id) = e.person_id
        JOIN crosswalk x ON x.our_id = p.person_id AND x.noun = 'person' AND x.superseded_at IS NULL
    ), entry AS MATERIALIZED (
        SELECT n.person_id, v.work_date, v.seconds, v.approval, t.verdict_id
        FROM name n
        JOIN time_entry_version v ON v.person_ref = n.source_ref AND v.work_date >= from_on - 90
            AND v.work_date < until_on AND v.is_newest AND NOT v.is_deleted AND n.valid @> v.work_date
        JOIN time_entry t ON t.entry_id = v.entry_id AND t.connection_key = n.connection_key
    ), worth AS (
        -- What was not billed is in the hours, too: an hour is worth what hours of this person came to.
        -- Amounts of two currencies do not compare: then nothing is estimated, and currency is empty.
        SELECT e.person_id, min(v.currency) AS currency,
               sum(v.amount) * 3600 / nullif(sum(e.seconds), 0) AS hour_amount
        FROM entry e JOIN verdict v ON v.verdict_id = e.verdict_id
        GROUP BY 1 HAVING count(DISTINCT v.currency) = 1
    ), told AS (
        SELECT person_id, work_date, sum(seconds) AS entered,
               sum(seconds) FILTER (WHERE approval = 'approved') AS approved
        FROM entry WHERE work_date >= from_on GROUP BY 1, 2
    )
    SELECT f.person_id, s.name, s.email, f.home_entity_code, date_trunc('week', f.on_date)::date,
           coalesce(sum(f.expected_seconds), 0)::bigint, coalesce(sum(t.entered), 0)::bigint,
           coalesce(sum(t.approved), 0)::bigint, (count(*) FILTER (WHERE f.unknown <> ''))::integer,
           coalesce(min(f.unknown) FILTER (WHERE f.unknown <> ''), ''), w.hour_amount, w.currency
    FROM day_fact f
    JOIN subject s ON s.subject_id = f.person_id
    LEFT JOIN told t ON t.person_id = f.person_id AND t.work_date = f.on_date
    LEFT JOIN worth w ON w.person_id = f.person_id
    GROUP BY f.person_id, s.name, s.email, f.home_entity_code, date_trunc('week', f.on_date), w.hour_amount, w.currency
    ORDER BY s.name, f.person_id, 5;
END $$;
