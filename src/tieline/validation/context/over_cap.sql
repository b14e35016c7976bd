over_cap_fact AS (
    -- What the contract says of time above its cap, and the line of no price that it goes under: that of the labor
    -- category beats that of every one.
    SELECT DISTINCT ON (d.contract_id, d.labor_category, d.on_date)
           d.contract_id, d.labor_category, d.on_date, o.step_seconds, l.contract_line_id AS line_id
    FROM (SELECT DISTINCT contract_id, coalesce(labor_category, '') AS labor_category, on_date FROM counted
          WHERE contract_id IS NOT NULL) d
    JOIN over_cap o ON o.contract_id = d.contract_id AND daterange(o.starts_on, o.ends_on) @> d.on_date
        AND o.recorded_at <= %(known_at)s AND (o.superseded_at IS NULL OR o.superseded_at > %(known_at)s)
    LEFT JOIN contract_line l ON l.contract_id = d.contract_id AND l.task_name = o.task_name
        AND l.labor_category IN (d.labor_category, '') AND l.rate_amount = 0
        AND daterange(l.starts_on, l.ends_on) @> d.on_date
        AND l.recorded_at <= %(known_at)s AND (l.superseded_at IS NULL OR l.superseded_at > %(known_at)s)
    ORDER BY d.contract_id, d.labor_category, d.on_date, l.labor_category = ''
), over_cap_task AS (
    SELECT d.line_id, d.project_id, d.erp_connection_key, d.on_date, count(DISTINCT x.source_ref) AS link_count
    FROM (SELECT DISTINCT f.line_id, c.project_id, c.erp_connection_key, c.on_date
          FROM counted c
          JOIN over_cap_fact f ON f.contract_id = c.contract_id AND f.labor_category = coalesce(c.labor_category, '')
              AND f.on_date = c.on_date
          WHERE c.erp_connection_key IS NOT NULL) d
    JOIN known_link x ON x.connection_key = d.erp_connection_key AND x.noun = 'erp_task'
        AND x.our_id = d.line_id AND x.scope IN ('', d.project_id::text) AND x.valid @> d.on_date
    GROUP BY d.line_id, d.project_id, d.erp_connection_key, d.on_date
), split AS (
    -- As much as is left is billed, in whole steps; the rest is not. Time that is billed rounded is not split: how much
    -- of it is above the cap nobody said.
    SELECT r.entry_id, r.step_seconds, r.line_id, r.task_count,
           CASE WHEN r.is_asked AND (r.left_amount < r.amount OR r.left_seconds < r.seconds)
                THEN nullif(r.seconds - r.step_seconds * (greatest(0, least(
                         r.seconds, r.left_seconds, floor(r.left_amount * 3600 / nullif(r.rate_amount, 0))))::integer
                     / r.step_seconds), 0) END AS capped_seconds
    FROM (
        SELECT c.entry_id, c.seconds, c.amount, c.rate_amount, f.step_seconds, f.line_id,
               coalesce(t.link_count, 0) AS task_count,
               least(l.cap_left_amount, c.cap_amount - coalesce(s.amount, 0) + coalesce(c.standing_amount, 0)
                     - coalesce(q.before_amount, 0)) AS left_amount, l.cap_left_seconds AS left_seconds,
               c.is_counted AND f.line_id IS NOT NULL AND c.seconds > 0 AND c.amount > 0
               AND c.billed_seconds = c.seconds AND coalesce(d.billed_seconds, c.seconds) = c.seconds AS is_asked
        FROM counted c
        JOIN over_cap_fact f ON f.contract_id = c.contract_id AND f.labor_category = coalesce(c.labor_category, '')
            AND f.on_date = c.on_date
        LEFT JOIN over_cap_task t ON t.line_id = f.line_id AND t.project_id = c.project_id
            AND t.erp_connection_key = c.erp_connection_key AND t.on_date = c.on_date
        LEFT JOIN limit_left l ON l.entry_id = c.entry_id
        LEFT JOIN cap_standing s ON s.contract_id = c.contract_id
        LEFT JOIN cap_queue q ON q.entry_id = c.entry_id
        LEFT JOIN day_billed d ON d.entry_id = c.entry_id
    ) r
)
