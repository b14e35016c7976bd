patterned AS (
    -- Only whose pattern somebody told: of everybody else nothing is expected, and nothing is looked up.
    SELECT DISTINCT c.person_key, c.person_id, date_trunc('week', c.work_date)::date AS week_on
    FROM counted c
    WHERE c.work_date IS NOT NULL AND c.person_id IN (SELECT w.person_id FROM work_pattern w)
), expected AS MATERIALIZED (
    SELECT p.person_key, p.week_on, p.week_on + n AS work_date, e.expected_seconds, e.scheduled_seconds,
           e.leave_seconds, e.is_free_day
    FROM patterned p
    CROSS JOIN generate_series(0, 6) n
    CROSS JOIN LATERAL tieline.expected_day(p.person_id, p.week_on + n, %(known_at)s::timestamptz) e
), week_expected AS (
    -- A week with a day that nobody knows is not known.
    SELECT person_key, week_on,
           CASE WHEN count(expected_seconds) = 7 THEN sum(expected_seconds) END AS week_expected_seconds
    FROM expected GROUP BY person_key, week_on
), week_ref AS (
    SELECT p.person_key, p.week_on, x.connection_key, x.source_ref, x.valid
    FROM patterned p
    JOIN one_person o ON o.person_id = p.person_id
    JOIN known_link x ON x.our_id = o.alias_id AND x.noun = 'person'
        AND x.valid && daterange(p.week_on, p.week_on + 7)
), week_member AS (
    SELECT r.person_key, r.week_on, v.work_date, v.seconds
    FROM week_ref r
    CROSS JOIN LATERAL (
        SELECT * FROM time_entry_version v
        WHERE v.person_ref = r.source_ref AND v.work_date >= r.week_on AND v.work_date < r.week_on + 7 AND {newest}
          AND NOT v.is_deleted AND v.approval <> 'not_approved' OFFSET 0) v
    CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = v.entry_id OFFSET 0) t
    WHERE t.connection_key = r.connection_key AND r.valid @> v.work_date AND v.entry_id NOT IN (SELECT entry_id FROM considered)
      AND NOT EXISTS (SELECT FROM exclusion x WHERE x.entry_id = v.entry_id AND x.recorded_at <= %(known_at)s OFFSET 0)
    UNION ALL
    SELECT c.person_key, p.week_on, c.work_date, c.seconds
    FROM counted c
    JOIN patterned p ON p.person_key = c.person_key AND p.week_on = date_trunc('week', c.work_date)::date
    WHERE c.is_counted
), week_day AS (
    SELECT person_key, week_on, work_date, sum(seconds) AS seconds, count(*) AS entries
    FROM week_member GROUP BY person_key, week_on, work_date
), week_fact AS (
    SELECT person_key, week_on, sum(seconds)::bigint AS week_seconds, sum(entries)::bigint AS week_count,
           count(*) AS week_days, count(DISTINCT seconds) AS week_lengths
    FROM week_day GROUP BY person_key, week_on
), permission_fact AS (
    SELECT p.person_key, m.on_date, bool_or(w.kind = 'overtime') AS may_work_over,
           bool_or(w.kind = 'free_day') AS may_work_free_day
    FROM (SELECT DISTINCT person_key, person_id FROM patterned) p
    JOIN (SELECT DISTINCT person_key, work_date AS on_date FROM counted WHERE work_date IS NOT NULL) m USING (person_key)
    JOIN work_permission w ON w.person_id = p.person_id AND daterange(w.starts_on, w.ends_on) @> m.on_date
        AND w.recorded_at <= %(known_at)s AND (w.superseded_at IS NULL OR w.superseded_at > %(known_at)s)
    GROUP BY p.person_key, m.on_date
), day_edge AS (
    SELECT person_key, work_date, min(started_at) AS first_at, max(ended_at) AS last_at
    FROM member WHERE started_at IS NOT NULL GROUP BY person_key, work_date
), day_eve AS (
    SELECT d.person_key, d.work_date, max(v.ended_at) AS last_at
    FROM day_edge d
    JOIN person_day_ref r ON r.person_key = d.person_key AND r.work_date = d.work_date
    CROSS JOIN LATERAL (
        SELECT * FROM time_entry_version v
        WHERE v.person_ref = r.person_ref AND v.work_date = r.work_date - 1 AND v.ended_at IS NOT NULL AND {newest}
          AND NOT v.is_deleted AND v.approval <> 'not_approved' OFFSET 0) v
    CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = v.entry_id OFFSET 0) t
    WHERE t.connection_key = r.connection_key AND NOT EXISTS (SELECT FROM exclusion x WHERE x.entry_id = v.entry_id AND x.recorded_at <= %(known_at)s OFFSET 0)
    GROUP BY d.person_key, d.work_date
), rest_fact AS (
    SELECT d.person_key, d.work_date,
           extract(epoch FROM d.first_at - greatest(e.last_at, b.last_at))::bigint AS rest_seconds
    FROM day_edge d
    LEFT JOIN day_eve e ON e.person_key = d.person_key AND e.work_date = d.work_date
    LEFT JOIN day_edge b ON b.person_key = d.person_key AND b.work_date = d.work_date - 1
), interval_fact AS (
    -- What the clock on the wall shows, and what really passed: they differ when clocks change.
    SELECT c.entry_id, (c.started_at AT TIME ZONE z.zone)::date AS started_on,
           extract(epoch FROM c.ended_at - c.started_at)::bigint AS elapsed_seconds,
           extract(epoch FROM (c.ended_at AT TIME ZONE z.zone) - (c.started_at AT TIME ZONE z.zone))::bigint
               AS wall_seconds
    FROM counted c
    LEFT JOIN real_zone r ON r.name = c.zone
    CROSS JOIN LATERAL (SELECT coalesce(r.name, c.entity_zone, 'UTC') AS zone) z
    WHERE c.started_at IS NOT NULL
)
