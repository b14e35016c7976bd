-- Who has not handed in or approved time: for each person, employer and approver of a period what was expected,
-- entered, submitted and approved. The days are those of the period that are over in the legal entity's zone; what is
-- expected is what the rules expect, by the state of the work date, so that who moves has days in two entities.
-- What stands of a person repeats on each of their approvers' rows; the columns that begin with own_ are the approver's.
CREATE FUNCTION page_missing_time(period text, entity text, at timestamptz, known timestamptz)
RETURNS TABLE (person_id uuid, person_name text, has_email boolean, entity_code text, zone text, period_code text,
    starts_on date, until_on date, cut_off_at timestamptz, expected_seconds bigint, entered_seconds bigint,
    submitted_seconds bigint, approved_seconds bigint, missing_seconds bigint, unknown_days integer, unknown text,
    hour_amount numeric, currency text, approver_id uuid, approver_name text, approver_has_email boolean,
    away_until date, deputy_id uuid, deputy_name text, deputy_has_email boolean, deputies integer,
    own_entered_seconds bigint, own_approved_seconds bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH span AS MATERIALIZED (
        -- Without a period: the one that is cut off next, else the latest that has begun.
        SELECT e.entity_code, e.zone, f.period_code, f.starts_on, f.cut_off_at,
               least(f.ends_on, (at AT TIME ZONE e.zone)::date) AS until_on, (at AT TIME ZONE e.zone)::date AS today_on
        FROM legal_entity e
        CROSS JOIN LATERAL (
            SELECT p.period_code, p.starts_on, p.ends_on, p.cut_off_at FROM fiscal_period p
            WHERE p.entity_code = e.entity_code AND (period = '' OR p.period_code = period)
              AND p.starts_on < (at AT TIME ZONE e.zone)::date
            ORDER BY p.state = 'open' AND p.cut_off_at > at DESC,
                     CASE WHEN p.state = 'open' AND p.cut_off_at > at THEN p.cut_off_at END, p.starts_on DESC LIMIT 1
        ) f
        WHERE in_sight(e.entity_code) AND (entity = '' OR e.entity_code = entity)
    ), one AS MATERIALIZED (
        -- Who was merged is read as the one who stays.
        SELECT person_id AS alias_id, coalesce(redirect_to, person_id) AS person_id FROM person
    ), due_day AS MATERIALIZED (
        SELECT DISTINCT o.person_id, s.entity_code, greatest(e.starts_on, s.starts_on) + n AS on_date
        FROM span s
        JOIN employment e ON e.entity_code = s.entity_code AND e.is_home
            AND daterange(e.starts_on, e.ends_on) && daterange(s.starts_on, s.until_on)
            AND e.recorded_at <= known AND (e.superseded_at IS NULL OR e.superseded_at > known)
        JOIN one o ON o.alias_id = e.person_id
        CROSS JOIN LATERAL generate_series(
            0, least(e.ends_on, s.until_on) - greatest(e.starts_on, s.starts_on) - 1) n
    ), day_fact AS MATERIALIZED (
        -- Two employers, or two answers of one that was merged, are no answer.
        SELECT d.person_id, d.entity_code, d.on_date,
               CASE WHEN count(DISTINCT x.home_entity_code) > 1 OR count(x.expected_seconds) > 1 THEN 'employment'
                    WHEN count(x.expected_seconds) = 0 THEN max(x.unknown) ELSE '' END AS unknown,
               CASE WHEN count(DISTINCT x.home_entity_code) = 1 AND count(x.expected_seconds) = 1
                    THEN min(x.expected_seconds) END AS expected_seconds
        FROM due_day d
        JOIN one o ON o.person_id = d.person_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN y.home_entity_code IS NOT NULL THEN y.expected_seconds END AS expected_seconds,
                   y.unknown, y.home_entity_code
            FROM expected_day(o.alias_id, d.on_date, known) y
        ) x
        GROUP BY d.person_id, d.entity_code, d.on_date
    ), who AS MATERIALIZED (
        SELECT DISTINCT person_id, entity_code FROM due_day
    ), name AS MATERIALIZED (
        SELECT DISTINCT w.person_id, x.connection_key, x.source_ref, daterange(x.starts_on, x.ends_on) AS valid,
               CASE WHEN jsonb_typeof(k.config -> 'submitted') = 'array' THEN k.config -> 'submitted' END AS submitted
        FROM (SELECT DISTINCT person_id FROM who) w
        JOIN one o ON o.person_id = w.person_id
        JOIN crosswalk x ON x.our_id = o.alias_id AND x.noun = 'person' AND x.recorded_at <= known
            AND (x.superseded_at IS NULL OR x.superseded_at > known)
        JOIN connection k ON k.connection_key = x.connection_key AND k.kind = 'time'
    ), teller AS (
        SELECT person_id, bool_and(submitted IS NOT NULL) AS tells FROM name GROUP BY person_id
    ), entry AS MATERIALIZED (
        SELECT n.person_id, n.connection_key, v.project_ref, v.work_date, v.seconds, v.approval,
               v.approval = 'approved' OR n.submitted ? v.approval_word AS is_submitted, t.verdict_id, v.version
        FROM name n
        JOIN (
            SELECT v.* FROM time_entry_version v WHERE v.is_newest AND v.recorded_at <= known
            UNION ALL
            -- What a later version has replaced since; of what is known by now there is none.
            SELECT v.* FROM time_entry_version v
            JOIN time_entry_version o ON o.entry_id = v.entry_id AND o.is_newest AND o.recorded_at > known
            WHERE known < at AND v.version = (SELECT max(l.version) FROM time_entry_version l
                                              WHERE l.entry_id = v.entry_id AND l.recorded_at <= known)
        ) v ON v.person_ref = n.source_ref AND n.valid @> v.work_date AND NOT v.is_deleted
            AND v.work_date >= (SELECT min(s.starts_on) - 90 FROM span s)
            AND v.work_date < (SELECT max(s.until_on) FROM span s)
        JOIN time_entry t ON t.entry_id = v.entry_id AND t.connection_key = n.connection_key
    ), worth AS (
        -- What was not billed is in the hours, too: an hour is worth what hours of this person came to.
        -- Amounts of two currencies do not compare: then nothing is estimated, and currency is empty.
        SELECT e.person_id, min(v.currency) AS currency,
               sum(v.amount) * 3600 / nullif(sum(e.seconds), 0) AS hour_amount
        FROM entry e JOIN verdict v ON v.verdict_id = e.verdict_id AND v.version = e.version
        GROUP BY 1 HAVING count(DISTINCT v.currency) = 1
    ), placed AS MATERIALIZED (
        -- Whose approval an hour waits for: of who is assigned to its project that day, where it names one person.
        SELECT k.*, CASE WHEN a.approvers = 1 THEN a.approver_id END AS approver_id
        FROM (
            SELECT DISTINCT e.person_id, e.connection_key, e.project_ref, e.work_date FROM entry e
            JOIN day_fact d ON d.person_id = e.person_id AND d.on_date = e.work_date
        ) k
        CROSS JOIN LATERAL (
            SELECT count(DISTINCT c.person_id) AS approvers, (array_agg(c.person_id))[1] AS approver_id
            FROM crosswalk x
            JOIN assignment a ON a.project_id = x.our_id AND daterange(a.starts_on, a.ends_on) @> k.work_date
                AND a.recorded_at <= known AND (a.superseded_at IS NULL OR a.superseded_at > known)
            JOIN one o ON o.alias_id = a.person_id AND o.person_id = k.person_id
            JOIN one c ON c.alias_id = a.approver_id
            WHERE x.connection_key = k.connection_key AND x.noun = 'project' AND x.source_ref = k.project_ref
              AND daterange(x.starts_on, x.ends_on) @> k.work_date AND x.recorded_at <= known
              AND (x.superseded_at IS NULL OR x.superseded_at > known)
        ) a
    ), told AS (
        SELECT d.person_id, d.entity_code, p.approver_id, d.on_date, sum(e.seconds) AS entered,
               coalesce(sum(e.seconds) FILTER (WHERE e.is_submitted), 0) AS submitted,
               coalesce(sum(e.seconds) FILTER (WHERE e.approval = 'approved'), 0) AS approved
        FROM entry e
        JOIN day_fact d ON d.person_id = e.person_id AND d.on_date = e.work_date
        JOIN placed p ON p.person_id = e.person_id AND p.connection_key = e.connection_key
            AND p.project_ref IS NOT DISTINCT FROM e.project_ref AND p.work_date = e.work_date
        GROUP BY 1, 2, 3, 4
    ), told_day AS (
        SELECT person_id, entity_code, on_date, sum(entered) AS entered, sum(submitted) AS submitted,
               sum(approved) AS approved
        FROM told GROUP BY 1, 2, 3
    ), week AS (
        -- Who worked longer on Monday may go early on Tuesday: what is missing is missing in the week.
        SELECT d.person_id, d.entity_code, sum(d.expected_seconds) AS expected, sum(t.entered) AS entered,
               sum(t.submitted) AS submitted, sum(t.approved) AS approved,
               greatest(coalesce(sum(d.expected_seconds), 0) - coalesce(sum(t.entered), 0), 0) AS missing,
               count(*) FILTER (WHERE d.unknown <> '') AS unknown_days, min(d.unknown) FILTER (WHERE d.unknown <> '')
                   AS unknown
        FROM day_fact d LEFT JOIN told_day t USING (person_id, entity_code, on_date)
        GROUP BY d.person_id, d.entity_code, date_trunc('week', d.on_date)
    ), total AS (
        SELECT person_id, entity_code, coalesce(sum(expected), 0)::bigint AS expected,
               coalesce(sum(entered), 0)::bigint AS entered, coalesce(sum(submitted), 0)::bigint AS submitted,
               coalesce(sum(approved), 0)::bigint AS approved, sum(missing)::bigint AS missing,
               sum(unknown_days)::integer AS unknown_days, coalesce(min(unknown), '') AS unknown
        FROM week GROUP BY 1, 2
    ), named AS MATERIALIZED (
        -- Who approves for somebody in the period, and who stands in as the staffing file says.
        SELECT w.person_id, w.entity_code, c.person_id AS approver_id,
               CASE WHEN count(DISTINCT y.person_id) = 1 THEN (array_agg(y.person_id))[1] END AS deputy_id
        FROM who w
        JOIN span s USING (entity_code)
        JOIN one o ON o.person_id = w.person_id
        JOIN assignment a ON a.person_id = o.alias_id
            AND daterange(a.starts_on, a.ends_on) && daterange(s.starts_on, s.until_on)
            AND a.recorded_at <= known AND (a.superseded_at IS NULL OR a.superseded_at > known)
        JOIN one c ON c.alias_id = a.approver_id
        LEFT JOIN one y ON y.alias_id = a.deputy_id
        GROUP BY 1, 2, 3
    ), own AS (
        SELECT person_id, entity_code, approver_id, sum(entered)::bigint AS entered, sum(approved)::bigint AS approved
        FROM told GROUP BY 1, 2, 3
    ), pair AS (
        SELECT person_id, entity_code, approver_id FROM named
        UNION SELECT person_id, entity_code, approver_id FROM own
        UNION SELECT w.person_id, w.entity_code, NULL FROM who w
              WHERE NOT EXISTS (SELECT FROM named n WHERE (n.person_id, n.entity_code) = (w.person_id, w.entity_code))
    ), approver AS (
        SELECT DISTINCT p.approver_id, s.entity_code, s.today_on FROM pair p JOIN span s USING (entity_code)
        WHERE p.approver_id IS NOT NULL
    ), away AS (
        SELECT c.approver_id, c.entity_code, max(y.ends_on) AS away_until
        FROM approver c
        JOIN one o ON o.person_id = c.approver_id
        JOIN leave y ON y.person_id = o.alias_id AND daterange(y.starts_on, y.ends_on) @> c.today_on
            AND y.day_seconds IS NULL AND y.day_share IS NULL
            AND y.recorded_at <= known AND (y.superseded_at IS NULL OR y.superseded_at > known)
        GROUP BY 1, 2
    ), delegated AS (
        SELECT c.approver_id, c.entity_code, count(DISTINCT g.person_id)::integer AS deputies,
               (array_agg(g.person_id))[1] AS deputy_id
        FROM approver c
        JOIN one o ON o.person_id = c.approver_id
        JOIN approval_delegation l ON l.from_person_id = o.alias_id AND daterange(l.starts_on, l.ends_on) @> c.today_on
            AND l.recorded_at <= known AND (l.superseded_at IS NULL OR l.superseded_at > known)
        JOIN one g ON g.alias_id = l.to_person_id
        GROUP BY 1, 2
    )
    SELECT p.person_id, s.name, s.email IS NOT NULL, p.entity_code, r.zone, r.period_code, r.starts_on, r.until_on,
           r.cut_off_at, t.expected, t.entered, CASE WHEN l.tells THEN t.submitted END, t.approved, t.missing,
           t.unknown_days, t.unknown, w.hour_amount, w.currency, p.approver_id, c.name, c.email IS NOT NULL,
           a.away_until, z.deputy_id, y.name, y.email IS NOT NULL, coalesce(g.deputies, 0),
           coalesce(o.entered, 0), coalesce(o.approved, 0)
    FROM pair p
    JOIN span r USING (entity_code)
    JOIN total t USING (person_id, entity_code)
    LEFT JOIN own o ON (o.person_id, o.entity_code) = (p.person_id, p.entity_code)
        AND o.approver_id IS NOT DISTINCT FROM p.approver_id
    LEFT JOIN named n ON (n.person_id, n.entity_code, n.approver_id) = (p.person_id, p.entity_code, p.approver_id)
    LEFT JOIN teller l ON l.person_id = p.person_id
    LEFT JOIN worth w ON w.person_id = p.person_id
    LEFT JOIN away a ON (a.approver_id, a.entity_code) = (p.approver_id, p.entity_code)
    LEFT JOIN delegated g ON (g.approver_id, g.entity_code) = (p.approver_id, p.entity_code)
    -- A name may have been erased: the hours are missing all the same.
    LEFT JOIN subject s ON s.subject_id = p.person_id
    LEFT JOIN subject c ON c.subject_id = p.approver_id
    -- Of several who were told to stand in nobody is chosen.
    CROSS JOIN LATERAL (SELECT CASE WHEN g.deputies = 1 THEN g.deputy_id
                                    WHEN g.deputies IS NULL THEN n.deputy_id END AS deputy_id) z
    LEFT JOIN subject y ON y.subject_id = z.deputy_id
    ORDER BY s.name, p.person_id, p.entity_code, c.name, p.approver_id;
END $$;
REVOKE ALL ON FUNCTION page_missing_time(text, text, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_missing_time(text, text, timestamptz, timestamptz) TO tieline_web, tieline_worker;

-- People of the staffing file have no login: they are reached where 'staff:all' is, at the address in that file, which
-- is read when a message goes out.
ALTER TABLE reach DROP CONSTRAINT reach_recipient_check,
    ADD CHECK (recipient ~ '^(person|queue):.' OR recipient = 'staff:all' AND address = '');
ALTER TABLE notice DROP CONSTRAINT notice_kind_check,
    ADD CHECK (kind IN ('escalation', 'unconfirmed', 'digest', 'reminder'));

-- A statement that changed no row asks for nothing: it had no instant either, and was refused.
CREATE OR REPLACE FUNCTION everything_changed() RETURNS trigger LANGUAGE plpgsql
SET search_path = tieline, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        PERFORM mark_keys(ARRAY['release'], TG_TABLE_NAME || '.changed',
                          (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    END IF;
    RETURN NULL;
END $$;
