-- When a person works, on two time axes: the seconds of each weekday from Monday on, ...
CREATE TABLE work_pattern (
    work_pattern_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    weekday_seconds integer[] NOT NULL CHECK (cardinality(weekday_seconds) = 7
        AND 0 <= ALL (weekday_seconds) AND 86400 >= ALL (weekday_seconds)),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(person_id::text, person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- ... the share of that week which they are employed for, ...
CREATE TABLE employment_share (
    employment_share_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    share         numeric NOT NULL CHECK (share > 0 AND share <= 2),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(person_id::text, person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- ... and where they work, as a country or a part of it, such as DE or DE-BY.
CREATE TABLE work_place (
    work_place_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    place         text NOT NULL CHECK (place ~ '^[A-Z]{2}(-[A-Z0-9]{1,5})?$'),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(person_id::text, person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX work_pattern_person ON work_pattern (person_id);
CREATE INDEX employment_share_person ON employment_share (person_id);
CREATE INDEX work_place_person ON work_place (person_id);

-- Which years of a place are known; a day of any other year is not a working day, it is unknown.
CREATE TABLE holiday_year (
    place         text NOT NULL,
    year          integer NOT NULL,
    source        text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (place, year)
);
CREATE TABLE public_holiday (
    public_holiday_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    place         text NOT NULL,
    day           date NOT NULL,
    name          text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(place, place, '[]') WITH &&, daterange(day, day, '[]') WITH &&,
                        tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Days that a company gives its people; free_share is the part of the day that is free.
CREATE TABLE company_holiday (
    company_holiday_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entity_code   text NOT NULL REFERENCES legal_entity,
    free_share    numeric NOT NULL CHECK (free_share > 0 AND free_share <= 1),
    starts_on     date NOT NULL,
    ends_on       date NOT NULL CHECK (ends_on > starts_on),
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(entity_code, entity_code, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- What a person may do beyond the pattern, agreed beforehand.
CREATE TABLE work_permission (
    work_permission_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    kind          text NOT NULL CHECK (kind IN ('overtime', 'free_day')),
    starts_on     date NOT NULL,
    ends_on       date NOT NULL CHECK (ends_on > starts_on),
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(person_id::text || kind, person_id::text || kind, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX work_permission_person ON work_permission (person_id);

-- A leave takes the whole day, or so many seconds of each of its days, or a share of each.
ALTER TABLE leave ADD COLUMN day_seconds integer CHECK (day_seconds > 0),
    ADD COLUMN day_share numeric CHECK (day_share > 0 AND day_share < 1);
CREATE INDEX leave_person ON leave (person_id);

-- What is expected of a person on a day, in seconds: the one definition, for rules and pages alike. One row per call.
-- unknown says what is missing for an answer; where it is not empty nothing is expected and nothing is free.
-- The body is written into the statement that uses it: plain joins, each by a constraint to at most one row.
CREATE FUNCTION expected_day(who uuid, on_date date, known_at timestamptz)
RETURNS TABLE (expected_seconds integer, scheduled_seconds integer, leave_seconds integer, is_free_day boolean,
    unknown text, home_entity_code text)
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN f.unknown = '' THEN greatest(f.scheduled - f.away, 0)::integer END,
           CASE WHEN f.unknown = '' THEN f.scheduled::integer END,
           CASE WHEN f.unknown = '' THEN least(f.away, f.scheduled)::integer END,
           CASE WHEN f.unknown = '' THEN f.scheduled = 0 END, f.unknown, f.home
    FROM (
        SELECT s.scheduled, m.home,
               CASE WHEN y.leave_id IS NULL THEN 0
                    WHEN y.day_seconds IS NULL AND y.day_share IS NULL THEN s.scheduled
                    ELSE coalesce(y.day_seconds, 0) + round(s.scheduled * coalesce(y.day_share, 0)) END AS away,
               CASE WHEN m.homes > 1 THEN 'employment'
                    -- Who is not employed that day owes nothing, whatever else is known.
                    WHEN m.homes = 0 THEN ''
                    WHEN w.work_pattern_id IS NULL THEN 'pattern'
                    WHEN p.work_place_id IS NULL THEN 'place'
                    WHEN k.place IS NULL THEN 'holidays' ELSE '' END AS unknown
        FROM (
            SELECT count(DISTINCT e.entity_code) AS homes, min(e.entity_code) AS home
            FROM tieline.employment e
            WHERE e.person_id = who AND e.is_home AND daterange(e.starts_on, e.ends_on) @> on_date
              AND e.recorded_at <= known_at AND (e.superseded_at IS NULL OR e.superseded_at > known_at)
        ) m
        LEFT JOIN tieline.work_pattern w ON w.person_id = who AND daterange(w.starts_on, w.ends_on) @> on_date
            AND w.recorded_at <= known_at AND (w.superseded_at IS NULL OR w.superseded_at > known_at)
        LEFT JOIN tieline.employment_share h ON h.person_id = who AND daterange(h.starts_on, h.ends_on) @> on_date
            AND h.recorded_at <= known_at AND (h.superseded_at IS NULL OR h.superseded_at > known_at)
        LEFT JOIN tieline.work_place p ON p.person_id = who AND daterange(p.starts_on, p.ends_on) @> on_date
            AND p.recorded_at <= known_at AND (p.superseded_at IS NULL OR p.superseded_at > known_at)
        LEFT JOIN tieline.holiday_year k ON k.place = p.place AND k.year = extract(year FROM on_date)
            AND k.recorded_at <= known_at
        LEFT JOIN tieline.public_holiday o ON o.place = p.place AND daterange(o.day, o.day, '[]') @> on_date
            AND o.recorded_at <= known_at AND (o.superseded_at IS NULL OR o.superseded_at > known_at)
        LEFT JOIN tieline.company_holiday c ON c.entity_code = m.home AND daterange(c.starts_on, c.ends_on) @> on_date
            AND c.recorded_at <= known_at AND (c.superseded_at IS NULL OR c.superseded_at > known_at)
        LEFT JOIN tieline.leave y ON y.person_id = who AND daterange(y.starts_on, y.ends_on) @> on_date
            AND y.recorded_at <= known_at AND (y.superseded_at IS NULL OR y.superseded_at > known_at)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN m.homes = 0 OR o.public_holiday_id IS NOT NULL THEN 0
                        ELSE round(w.weekday_seconds[extract(isodow FROM on_date)::integer] * coalesce(h.share, 1)
                                   * (1 - coalesce(c.free_share, 0))) END AS scheduled
        ) s
    ) f
$$;
GRANT EXECUTE ON FUNCTION expected_day(uuid, date, timestamptz) TO tieline_worker, tieline_judge;

-- Who changes when somebody works asks for a new look at that person's hours.
CREATE FUNCTION places_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(
        keys_of_people(ARRAY(SELECT w.person_id FROM work_place w JOIN changed c ON c.place = w.place)),
        'holidays.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION years_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(
        keys_of_people(ARRAY(SELECT w.person_id FROM work_place w JOIN changed c ON c.place = w.place)),
        'holidays.changed', (SELECT max(c.recorded_at) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION company_days_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(
        keys_of_people(ARRAY(SELECT e.person_id FROM employment e JOIN changed c ON c.entity_code = e.entity_code)),
        'holidays.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;

-- Per person and week: what was expected, entered and approved, and what an hour of theirs came to lately. Days that
-- nothing is known of are counted and add nothing. A week holds only the days that were asked for.
CREATE FUNCTION page_missing_time(from_on date, until_on date, entity text, known timestamptz)
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
        SELECT DISTINCT ON (person_id) person_id, currency, amount * 3600 / nullif(seconds, 0) AS hour_amount
        FROM (
            SELECT e.person_id, v.currency, sum(v.amount) AS amount,
                   sum(sum(e.seconds)) OVER (PARTITION BY e.person_id) AS seconds
            FROM entry e JOIN verdict v ON v.verdict_id = e.verdict_id GROUP BY 1, 2
        ) w
        WHERE currency IS NOT NULL ORDER BY person_id, amount DESC NULLS LAST, currency
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
REVOKE ALL ON FUNCTION page_missing_time(date, date, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_missing_time(date, date, text, timestamptz) TO tieline_web, tieline_worker, tieline_judge;
