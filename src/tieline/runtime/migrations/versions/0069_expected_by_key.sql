-- What a day is held against is looked up by its key, whatever else the statement that asks does with its joins.
CREATE OR REPLACE FUNCTION expected_day(who uuid, on_date date, known_at timestamptz)
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
        LEFT JOIN LATERAL (
            SELECT * FROM tieline.holiday_year k
            WHERE k.place = p.place AND k.year = extract(year FROM on_date) AND k.recorded_at <= known_at OFFSET 0
        ) k ON true
        LEFT JOIN LATERAL (
            SELECT * FROM tieline.public_holiday o
            WHERE o.place = p.place AND daterange(o.day, o.day, '[]') @> on_date
              AND o.recorded_at <= known_at AND (o.superseded_at IS NULL OR o.superseded_at > known_at) OFFSET 0
        ) o ON true
        LEFT JOIN LATERAL (
            SELECT * FROM tieline.company_holiday c
            WHERE c.entity_code = m.home AND daterange(c.starts_on, c.ends_on) @> on_date
              AND c.recorded_at <= known_at AND (c.superseded_at IS NULL OR c.superseded_at > known_at) OFFSET 0
        ) c ON true
        LEFT JOIN tieline.leave y ON y.person_id = who AND daterange(y.starts_on, y.ends_on) @> on_date
            AND y.recorded_at <= known_at AND (y.superseded_at IS NULL OR y.superseded_at > known_at)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN m.homes = 0 OR o.public_holiday_id IS NOT NULL THEN 0
                        ELSE round(w.weekday_seconds[extract(isodow FROM on_date)::integer] * coalesce(h.share, 1)
                                   * (1 - coalesce(c.free_share, 0))) END AS scheduled
        ) s
    ) f
$$;
