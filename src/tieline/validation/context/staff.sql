employment_fact AS (
    SELECT d.person_id, d.entity_code, d.on_date, count(*) AS employment_count,
           count(DISTINCT e.entity_code) FILTER (WHERE e.is_home) AS home_count,
           CASE WHEN count(DISTINCT e.entity_code) FILTER (WHERE e.is_home) = 1
                THEN (array_agg(e.entity_code) FILTER (WHERE e.is_home))[1] END AS home_entity_code,
           (array_agg(e.cost_rate ORDER BY e.entity_code, e.cost_rate) FILTER (WHERE e.is_home))[1] AS cost_rate,
           bool_or(e.entity_code = d.entity_code) AS has_employee_record
    FROM (SELECT DISTINCT person_id, coalesce(entity_code, '') AS entity_code, on_date FROM placed
          WHERE person_id IS NOT NULL) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN employment e ON e.person_id = o.alias_id AND daterange(e.starts_on, e.ends_on) @> d.on_date
        AND e.recorded_at <= %(known_at)s AND (e.superseded_at IS NULL OR e.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.entity_code, d.on_date
), assignment_fact AS (
    -- Where no assignment covers the day, the nearest one still says what the hour would have cost.
    SELECT d.person_id, d.project_id, d.on_date, count(*) AS assignment_count,
           count(*) FILTER (WHERE daterange(a.starts_on, a.ends_on) @> d.on_date) AS covering_count,
           (array_agg(a.labor_category ORDER BY daterange(a.starts_on, a.ends_on) @> d.on_date DESC,
                      a.starts_on <= d.on_date DESC, abs(a.starts_on - d.on_date), a.assignment_id))[1] AS labor_category
    FROM (SELECT DISTINCT person_id, project_id, on_date FROM placed
          WHERE person_id IS NOT NULL AND project_id IS NOT NULL) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN assignment a ON a.person_id = o.alias_id AND a.project_id = d.project_id
        AND a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.project_id, d.on_date
), leave_fact AS (
    SELECT d.person_id, d.on_date, count(*) AS leave_count
    FROM (SELECT DISTINCT person_id, on_date FROM placed WHERE person_id IS NOT NULL) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN leave y ON y.person_id = o.alias_id AND daterange(y.starts_on, y.ends_on) @> d.on_date
        -- Of a leave for a part of the day only the hours count: see what is expected.
        AND y.day_seconds IS NULL AND y.day_share IS NULL
        AND y.recorded_at <= %(known_at)s AND (y.superseded_at IS NULL OR y.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.on_date
), staffed AS (
    SELECT p.*, coalesce(m.employment_count, 0) AS employment_count, coalesce(m.home_count, 0) AS home_count,
           m.home_entity_code, m.cost_rate, coalesce(m.has_employee_record, false) AS has_employee_record,
           coalesce(a.assignment_count, 0) AS assignment_count, coalesce(a.covering_count, 0) AS covering_count,
           coalesce(p.entry_labor_category, a.labor_category) AS labor_category, a.labor_category AS assigned_category,
           coalesce(y.leave_count, 0) AS leave_count
    FROM placed p
    LEFT JOIN employment_fact m ON m.person_id = p.person_id AND m.entity_code = coalesce(p.entity_code, '')
        AND m.on_date = p.on_date
    LEFT JOIN assignment_fact a ON a.person_id = p.person_id AND a.project_id = p.project_id AND a.on_date = p.on_date
    LEFT JOIN leave_fact y ON y.person_id = p.person_id AND y.on_date = p.on_date
)
