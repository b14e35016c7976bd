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
