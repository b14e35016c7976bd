line_fact AS (
    SELECT d.contract_id, d.on_date, bool_or(l.task_name = '') AS has_line_for_every_task,
           bool_or(l.labor_category = '') AS has_line_for_every_category
    FROM (SELECT DISTINCT contract_id, on_date FROM placed WHERE contract_id IS NOT NULL) d
    JOIN contract_line l ON l.contract_id = d.contract_id AND daterange(l.starts_on, l.ends_on) @> d.on_date
        AND l.recorded_at <= %(known_at)s AND (l.superseded_at IS NULL OR l.superseded_at > %(known_at)s)
    GROUP BY d.contract_id, d.on_date
), rate_fact AS (
    -- What names task and labor category beats what holds for every one; two of one rank are ambiguous.
    SELECT DISTINCT ON (contract_id, task_name, labor_category, on_date) *
    FROM (
        SELECT d.contract_id, d.task_name, d.labor_category, d.on_date,
               (l.task_name <> d.task_name)::int + (l.labor_category <> d.labor_category)::int AS distance,
               count(*) AS rate_count,
               CASE WHEN count(*) = 1 THEN (array_agg(l.contract_line_id))[1] END AS contract_line_id,
               CASE WHEN count(*) = 1 THEN min(l.rate_amount) END AS rate_amount,
               CASE WHEN count(*) = 1 THEN min(l.currency) END AS currency,
               CASE WHEN count(*) = 1 THEN min(l.markup_percent) END AS markup_percent
        FROM (SELECT DISTINCT contract_id, coalesce(task_name, '') AS task_name,
                     coalesce(labor_category, '') AS labor_category, on_date
              FROM staffed WHERE contract_id IS NOT NULL) d
        JOIN contract_line l ON l.contract_id = d.contract_id AND l.task_name IN (d.task_name, '')
            AND l.labor_category IN (d.labor_category, '') AND daterange(l.starts_on, l.ends_on) @> d.on_date
            AND l.recorded_at <= %(known_at)s AND (l.superseded_at IS NULL OR l.superseded_at > %(known_at)s)
        GROUP BY d.contract_id, d.task_name, d.labor_category, d.on_date, 5
    ) ranked
    ORDER BY contract_id, task_name, labor_category, on_date, distance
), standing AS (
    -- What stands in a target, or may: a booking at INTENT or later that was not taken back. Looked up hour by
    -- hour whatever the planner expects: with stale statistics it reads the whole table for each of them.
    SELECT e.entry_id, greatest(count(*) FILTER (WHERE e.part <> 'capped'), count(*) FILTER (WHERE e.part = 'capped'))
               AS standing_count,
           (array_agg(e.posting_hash ORDER BY e.effect_no DESC))[1] AS standing_hash,
           (array_agg(e.period_id ORDER BY e.effect_no DESC))[1] AS standing_period_id,
           (array_agg(e.project_id ORDER BY e.effect_no DESC))[1] AS standing_project_id,
           (array_agg(e.entity_code ORDER BY e.effect_no DESC))[1] AS standing_entity_code,
           coalesce(sum(e.amount), 0) AS standing_amount,
           coalesce(sum(e.seconds), 0) AS standing_seconds,
           (array_agg((SELECT v.contract_id FROM verdict v WHERE v.verdict_id = e.verdict_id)
                      ORDER BY e.effect_no DESC))[1] AS standing_contract_id,
           bool_or(EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = e.business_key OFFSET 0))
               AS is_standing_invoiced
    FROM (SELECT DISTINCT entry_id FROM considered) c
    CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.entry_id = c.entry_id OFFSET 0) e
    WHERE e.noun = 'time_line' AND e.kind = 'book'
      AND {stands}
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND {undone} OFFSET 0)
    GROUP BY e.entry_id
), first_go_live AS (
    SELECT connection_key, min(go_live_on) AS go_live_on FROM connection_go_live GROUP BY connection_key
), real_zone AS MATERIALIZED (
    -- Zone by zone: reading the names of all takes longer than anything else of one hour, and few sources name one.
    -- Four names are abbreviations, too, and would be read as such: without summer time.
    SELECT z.zone AS name, CASE z.zone WHEN 'CET' THEN 'Europe/Brussels' WHEN 'MET' THEN 'Europe/Brussels'
                   WHEN 'EET' THEN 'Europe/Athens' WHEN 'WET' THEN 'Europe/Lisbon' ELSE z.zone END AS place
    FROM (SELECT DISTINCT zone FROM considered WHERE zone IS NOT NULL) z
    CROSS JOIN LATERAL (SELECT FROM pg_timezone_names n WHERE n.name = z.zone OFFSET 0) known
), setting AS MATERIALIZED (
    -- The values of a legal entity, each read once; where no entity is known, those of the firm.
    SELECT v.entity_code,
           (v.policy ->> 'back_dating_days')::integer AS back_dating_days,
           v.policy ->> 'change_in_open_period' AS change_in_open_period,
           (v.policy ->> 'contemporaneous_days')::integer AS contemporaneous_days,
           (v.policy ->> 'day_lines_max')::bigint AS day_lines_max,
           (v.policy ->> 'day_minimum_percent')::bigint AS day_minimum_percent,
           (v.policy ->> 'day_over_scheduled_percent')::bigint AS day_over_scheduled_percent,
           (v.policy ->> 'day_seconds_max')::bigint AS day_seconds_max,
           (v.policy ->> 'entry_increment_seconds')::bigint AS entry_increment_seconds,
           (v.policy ->> 'entry_seconds_max')::bigint AS entry_seconds_max,
           (v.policy ->> 'future_days_max')::integer AS future_days_max,
           (v.policy ->> 'late_entry_days')::integer AS late_entry_days,
           (v.policy ->> 'narrative_length_min')::bigint AS narrative_length_min,
           v.policy ->> 'overtime_task_name' AS overtime_task_name,
           (v.policy ->> 'park_seconds')::bigint AS park_seconds,
           (v.policy ->> 'practice_required')::integer AS practice_required,
           (v.policy ->> 'rest_seconds_min')::bigint AS rest_seconds_min,
           (v.policy ->> 'target_quantum_seconds')::bigint AS target_quantum_seconds,
           (v.policy ->> 'travel_entry_seconds_max')::bigint AS travel_entry_seconds_max,
           v.policy ->> 'travel_task_name' AS travel_task_name,
           (v.policy ->> 'unusual_times')::bigint AS unusual_times,
           (v.policy ->> 'week_lock_days')::integer AS week_lock_days,
           (v.policy ->> 'week_lock_grace_seconds')::integer AS week_lock_grace_seconds,
           (v.policy ->> 'week_minimum_percent')::bigint AS week_minimum_percent,
           (v.policy ->> 'week_over_scheduled_percent')::bigint AS week_over_scheduled_percent,
           (v.policy ->> 'week_seconds_max')::bigint AS week_seconds_max
    FROM (
        SELECT n.entity_code, jsonb_object_agg(v.name, v.value ORDER BY v.entity_code) AS policy
        FROM (SELECT entity_code FROM legal_entity UNION ALL SELECT '') n
        JOIN policy_value v ON v.release_id = %(release_id)s AND v.entity_code IN ('', n.entity_code)
        GROUP BY n.entity_code
    ) v
), period_fact AS (
    SELECT p.period_id, p.entity_code, p.starts_on, p.ends_on, p.cut_off_at, coalesce(s.state, p.state) AS state
    FROM fiscal_period p
    LEFT JOIN fiscal_period_state s ON s.period_id = p.period_id
        AND s.recorded_at <= %(known_at)s AND (s.superseded_at IS NULL OR s.superseded_at > %(known_at)s)
), priced AS (
    SELECT s.*, r.contract_line_id, q.rate_count, q.rate_amount, q.currency, q.rate_level, q.rate_ref,
           q.fx_rate_id, q.is_fx_missing, r.markup_percent, coalesce(pc.rate_count, 0) AS cost_rate_count,
           t.billing_terms_id, t.increment_seconds, t.rounding, t.rounds_per,
           t.minimum_seconds, e.billed_seconds, u.rate_min, u.rate_max, r.rate_amount AS line_rate_amount,
           coalesce(f.has_line_for_every_task, false) AS has_line_for_every_task,
           coalesce(f.has_line_for_every_category, false) AS has_line_for_every_category,
           coalesce(s.entry_is_billable, s.task_is_billable) AS is_billable,
           CASE WHEN coalesce(s.entry_is_billable, s.task_is_billable)
                THEN round(e.billed_seconds * q.rate_amount / 3600, tieline.currency_digits(q.currency))
                END AS amount,
           w.period_id, w.state AS period_state,
           coalesce(st.standing_count, 0) AS standing_count, st.standing_hash, st.standing_period_id,
           -- What an hour that moved has in another contract takes nothing of this one.
           CASE WHEN st.standing_contract_id = s.contract_id THEN st.standing_amount ELSE 0 END AS standing_amount,
           CASE WHEN st.standing_contract_id = s.contract_id THEN st.standing_seconds ELSE 0 END AS standing_seconds,
           st.standing_project_id, st.standing_entity_code,
           coalesce(st.is_standing_invoiced, false) AS is_standing_invoiced,
           x.entry_id IS NOT NULL AS is_excluded,
           coalesce(s.work_date < coalesce(g.go_live_on, CASE WHEN s.entity_code IS NULL THEN g1.go_live_on END),
                    false) AS is_before_go_live,
           (%(known_at)s::timestamptz AT TIME ZONE coalesce(z.place, s.entity_zone, 'UTC'))::date AS today_on,
           (s.created_at AT TIME ZONE coalesce(z.place, s.entity_zone, 'UTC'))::date AS created_on,
           tieline.posting_hash(s.entity_code, s.person_id, s.project_id, s.task_id, s.labor_category,
               e.priced_as, s.work_date, s.seconds,
               coalesce(s.entry_is_billable, s.task_is_billable)) AS posting_hash
    FROM staffed s
    LEFT JOIN rate_fact r ON r.contract_id = s.contract_id AND r.task_name = coalesce(s.task_name, '')
        AND r.labor_category = coalesce(s.labor_category, '') AND r.on_date = s.on_date
    LEFT JOIN person_price pp ON pp.person_id = s.person_id AND pp.project_id = s.project_id AND pp.on_date = s.on_date
    LEFT JOIN card_price cp ON cp.contract_id = s.contract_id AND cp.labor_category = coalesce(s.labor_category, '')
        AND cp.on_date = s.on_date
    LEFT JOIN cost_price pc ON pc.person_id = s.person_id AND pc.currency = s.contract_currency
        AND pc.on_date = s.on_date AND s.billing_method = 'cost_plus'
    LEFT JOIN billing_fact t ON t.contract_id = s.contract_id AND t.on_date = s.on_date
    LEFT JOIN bound_fact u ON u.contract_id = s.contract_id AND u.labor_category = coalesce(s.labor_category, '')
        AND u.on_date = s.on_date
    CROSS JOIN LATERAL (
        -- The first step that has any price decides, and two of one step hold: none is passed over. A cost-plus
        -- contract has one step: which line it is, and so by how much its price is more than the cost.
        SELECT CASE WHEN s.billing_method = 'cost_plus' THEN 'cost' WHEN pp.rate_count > 0 THEN 'person'
                    WHEN r.rate_count > 0 THEN 'line' ELSE 'card' END AS step
    ) d
    CROSS JOIN LATERAL (
        SELECT CASE d.step WHEN 'cost' THEN CASE WHEN pc.rate_count = 1 THEN 'cost' END WHEN 'person' THEN 'person'
                    WHEN 'card' THEN cp.rate_level END AS rate_level,
               coalesce(CASE d.step WHEN 'person' THEN pp.rate_count WHEN 'card' THEN cp.rate_count
                        ELSE r.rate_count END, 0) AS rate_count,
               CASE d.step WHEN 'cost' THEN CASE WHEN pc.rate_count = 1 THEN pc.rate_ref END
                    WHEN 'person' THEN pp.rate_ref WHEN 'card' THEN cp.rate_ref END AS rate_ref,
               -- Digits that say nothing are no other price.
               CASE d.step WHEN 'cost' THEN trim_scale(pc.rate_amount * (100 + r.markup_percent) * 0.01)
                    WHEN 'person' THEN pp.rate_amount WHEN 'line' THEN r.rate_amount ELSE cp.rate_amount
                    END AS rate_amount,
               CASE d.step WHEN 'cost' THEN s.contract_currency WHEN 'person' THEN pp.currency
                    WHEN 'line' THEN r.currency ELSE cp.currency END AS currency,
               CASE d.step WHEN 'cost' THEN pc.fx_rate_id WHEN 'person' THEN pp.fx_rate_id
                    WHEN 'card' THEN cp.fx_rate_id END AS fx_rate_id,
               CASE d.step
                    WHEN 'cost' THEN coalesce(pc.told_currency <> pc.currency AND pc.fx_count = 0, false)
                    WHEN 'person' THEN pp.told_currency <> pp.currency AND pp.fx_count = 0
                    WHEN 'line' THEN false
                    ELSE coalesce(cp.told_currency <> cp.currency AND cp.fx_count = 0, false) END AS is_fx_missing
    ) q
    CROSS JOIN LATERAL (
        SELECT b.billed_seconds,
               -- What a line is priced as, by what it comes to: the row that says so is another after each load.
               CASE WHEN q.rate_level IS NULL AND b.billed_seconds = s.seconds THEN r.contract_line_id
                    ELSE md5(concat_ws('|', r.contract_line_id, q.rate_amount, q.currency, b.billed_seconds))::uuid
                    END AS priced_as
        FROM (SELECT CASE WHEN t.rounds_per = 'entry' THEN tieline.billed_seconds(
                              s.seconds, t.increment_seconds, t.rounding, t.minimum_seconds)
                          ELSE s.seconds END AS billed_seconds) b
    ) e
    LEFT JOIN line_fact f ON f.contract_id = s.contract_id AND f.on_date = s.on_date
    LEFT JOIN period_fact w ON w.entity_code = s.entity_code AND s.work_date >= w.starts_on AND s.work_date < w.ends_on
    LEFT JOIN standing st ON st.entry_id = s.entry_id
    LEFT JOIN exclusion x ON x.entry_id = s.entry_id AND x.recorded_at <= %(known_at)s
    LEFT JOIN connection_go_live g ON g.connection_key = s.connection_key AND g.entity_code = s.entity_code
    LEFT JOIN first_go_live g1 ON g1.connection_key = s.connection_key
    LEFT JOIN real_zone z ON z.name = s.zone
), counted AS (
    SELECT p.*, NOT (p.is_deleted OR p.approval = 'not_approved' OR p.is_before_go_live OR p.is_excluded)
                AS is_counted,
           -- What leaves the population has changed, whatever its fields say.
           p.standing_count = 1 AND (p.standing_hash = p.posting_hash OR octet_length(p.standing_hash) > 32
               AND p.standing_hash = p.posting_hash || substr(p.standing_hash, 33) AND p.seconds = (
                   -- Both lines of a split hour, sent or not; one of them alone is half of a change.
                   SELECT sum(e.seconds) FROM effect e
                   WHERE e.entry_id = p.entry_id AND e.noun = 'time_line' AND e.kind = 'book'
                     AND e.posting_hash = p.standing_hash AND e.state <> 'WITHDRAWN'
                     AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                                     AND {undone} OFFSET 0)))
               AND NOT (p.is_deleted OR p.approval = 'not_approved' OR p.is_before_go_live OR p.is_excluded)
               AS is_posted_unchanged
    FROM priced p
)
