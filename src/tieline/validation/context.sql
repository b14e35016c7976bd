-- Everything a rule may look at, one row per subject, as known at one instant.
-- Reads the relation judging_subject. Every join yields at most one row: by a constraint of the table,
-- or as an aggregate that brings its count, which an "_ambiguous" rule reads.
considered AS (
    SELECT j.*, coalesce(j.work_date, (%(known_at)s::timestamptz AT TIME ZONE 'UTC')::date) AS on_date,
           coalesce(j.project_ref, '') AS project_key, coalesce(j.task_ref, '') AS task_key
    FROM judging_subject j
), known_link AS NOT MATERIALIZED (
    SELECT connection_key, noun, source_ref, our_id, scope, daterange(starts_on, ends_on) AS valid
    FROM crosswalk
    WHERE recorded_at <= %(known_at)s AND (superseded_at IS NULL OR superseded_at > %(known_at)s)
), one_person AS NOT MATERIALIZED (
    -- Who was merged is read as the one who stays.
    SELECT person_id AS alias_id, coalesce(redirect_to, person_id) AS person_id FROM person
), person_link AS (
    SELECT d.connection_key, d.person_ref, d.on_date, count(DISTINCT o.person_id) AS person_count,
           CASE WHEN count(DISTINCT o.person_id) = 1 THEN (array_agg(o.person_id))[1] END AS person_id
    FROM (SELECT DISTINCT connection_key, person_ref, on_date FROM considered) d
    JOIN known_link x ON x.connection_key = d.connection_key AND x.noun = 'person'
        AND x.source_ref = d.person_ref AND x.valid @> d.on_date
    JOIN one_person o ON o.alias_id = x.our_id
    GROUP BY d.connection_key, d.person_ref, d.on_date
), project_link AS (
    SELECT d.connection_key, d.project_key, d.on_date, count(DISTINCT x.our_id) AS project_count,
           CASE WHEN count(DISTINCT x.our_id) = 1 THEN (array_agg(x.our_id))[1] END AS project_id
    FROM (SELECT DISTINCT connection_key, project_key, on_date FROM considered) d
    JOIN known_link x ON x.connection_key = d.connection_key AND x.noun = 'project'
        AND x.source_ref = d.project_key AND x.valid @> d.on_date
    GROUP BY d.connection_key, d.project_key, d.on_date
), task_link AS (
    -- A task may be shared by projects in the source: the pair of both beats the task alone.
    SELECT DISTINCT ON (connection_key, project_key, task_key, on_date)
           connection_key, project_key, task_key, on_date, task_count, task_id
    FROM (
        SELECT d.connection_key, d.project_key, d.task_key, d.on_date,
               (x.source_ref = d.task_key)::int AS distance, count(DISTINCT x.our_id) AS task_count,
               CASE WHEN count(DISTINCT x.our_id) = 1 THEN (array_agg(x.our_id))[1] END AS task_id
        FROM (SELECT DISTINCT connection_key, project_key, task_key, on_date FROM considered
              WHERE task_ref IS NOT NULL) d
        JOIN known_link x ON x.connection_key = d.connection_key AND x.noun = 'task'
            AND x.source_ref IN (d.project_key || '/' || d.task_key, d.task_key) AND x.valid @> d.on_date
        GROUP BY d.connection_key, d.project_key, d.task_key, d.on_date, (x.source_ref = d.task_key)::int
    ) ranked
    ORDER BY connection_key, project_key, task_key, on_date, distance
), project_fact AS (
    SELECT p.project_id, p.contract_id, p.entity_code, n.zone AS entity_zone, n.erp_connection_key,
           v.status AS project_status, v.accepts_time, v.starts_on AS project_starts_on,
           v.ends_on AS project_ends_on, v.recorded_at AS project_recorded_at,
           coalesce(l.redirect_to, l.client_id) AS client_id, lv.is_active AS client_is_active,
           kv.billing_method, kv.currency AS contract_currency, kv.cap_amount, kv.purchase_order,
           kv.is_purchase_order_required, kv.allows_unassigned_time, kv.is_active AS contract_is_active,
           kv.starts_on AS contract_starts_on, kv.ends_on AS contract_ends_on
    FROM project p
    JOIN contract k ON k.contract_id = p.contract_id
    JOIN client l ON l.client_id = k.client_id
    JOIN legal_entity n ON n.entity_code = p.entity_code
    LEFT JOIN project_version v ON v.project_id = p.project_id
        AND v.recorded_at <= %(known_at)s AND (v.superseded_at IS NULL OR v.superseded_at > %(known_at)s)
    LEFT JOIN contract_version kv ON kv.contract_id = p.contract_id
        AND kv.recorded_at <= %(known_at)s AND (kv.superseded_at IS NULL OR kv.superseded_at > %(known_at)s)
    LEFT JOIN client_version lv ON lv.client_id = coalesce(l.redirect_to, l.client_id)
        AND lv.recorded_at <= %(known_at)s AND (lv.superseded_at IS NULL OR lv.superseded_at > %(known_at)s)
    WHERE p.project_id IN (SELECT project_id FROM project_link)
), task_fact AS (
    SELECT t.task_id, t.project_id AS task_project_id, t.task_name, t.is_billable AS task_is_billable,
           t.is_leaf, t.starts_on AS task_starts_on, t.ends_on AS task_ends_on
    FROM task t
    WHERE t.task_id IN (SELECT task_id FROM task_link)
      AND t.recorded_at <= %(known_at)s AND (t.superseded_at IS NULL OR t.superseded_at > %(known_at)s)
), linked_task AS (
    -- Whether we have told the source of any task of this project at all.
    SELECT x.connection_key, t.project_id, count(*) AS linked_task_count
    FROM task t JOIN known_link x ON x.our_id = t.task_id AND x.noun = 'task'
    WHERE t.project_id IN (SELECT project_id FROM project_link)
    GROUP BY x.connection_key, t.project_id
), placed AS (
    SELECT c.*, pl.person_id, coalesce(pl.person_count, 0) AS person_count,
           coalesce(jl.project_count, 0) AS project_count, coalesce(tl.task_count, 0) AS task_count,
           coalesce(lt.linked_task_count, 0) AS linked_task_count, jl.project_id,
           f.contract_id, f.entity_code, f.entity_zone, f.erp_connection_key, f.project_status, f.accepts_time,
           f.project_starts_on, f.project_ends_on, f.project_recorded_at, f.client_id, f.client_is_active,
           f.billing_method, f.contract_currency, f.cap_amount, f.purchase_order,
           f.is_purchase_order_required, f.allows_unassigned_time, f.contract_is_active,
           f.contract_starts_on, f.contract_ends_on,
           tf.task_id AS any_task_id, tf.task_project_id,
           CASE WHEN tf.task_project_id = jl.project_id THEN tf.task_id END AS task_id,
           CASE WHEN tf.task_project_id = jl.project_id THEN tf.task_name END AS task_name,
           tf.task_is_billable, tf.is_leaf, tf.task_starts_on, tf.task_ends_on,
           coalesce(pl.person_id::text, c.connection_key || ':' || c.person_ref) AS person_key
    FROM considered c
    LEFT JOIN person_link pl USING (connection_key, person_ref, on_date)
    LEFT JOIN project_link jl USING (connection_key, project_key, on_date)
    LEFT JOIN task_link tl USING (connection_key, project_key, task_key, on_date)
    LEFT JOIN project_fact f ON f.project_id = jl.project_id
    LEFT JOIN task_fact tf ON tf.task_id = tl.task_id
    LEFT JOIN linked_task lt ON lt.connection_key = c.connection_key AND lt.project_id = jl.project_id
), employment_fact AS (
    SELECT d.person_id, d.entity_code, d.on_date, count(*) AS employment_count,
           count(DISTINCT e.entity_code) FILTER (WHERE e.is_home) AS home_count,
           CASE WHEN count(DISTINCT e.entity_code) FILTER (WHERE e.is_home) = 1
                THEN (array_agg(e.entity_code) FILTER (WHERE e.is_home))[1] END AS home_entity_code,
           (array_agg(e.cost_rate ORDER BY e.entity_code) FILTER (WHERE e.is_home))[1] AS cost_rate,
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
                      a.starts_on <= d.on_date DESC, a.starts_on DESC, a.assignment_id))[1] AS labor_category
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
        AND y.recorded_at <= %(known_at)s AND (y.superseded_at IS NULL OR y.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.on_date
), staffed AS (
    SELECT p.*, coalesce(m.employment_count, 0) AS employment_count, coalesce(m.home_count, 0) AS home_count,
           m.home_entity_code, m.cost_rate, coalesce(m.has_employee_record, false) AS has_employee_record,
           coalesce(a.assignment_count, 0) AS assignment_count, coalesce(a.covering_count, 0) AS covering_count,
           coalesce(p.entry_labor_category, a.labor_category) AS labor_category,
           coalesce(y.leave_count, 0) AS leave_count
    FROM placed p
    LEFT JOIN employment_fact m ON m.person_id = p.person_id AND m.entity_code = coalesce(p.entity_code, '')
        AND m.on_date = p.on_date
    LEFT JOIN assignment_fact a ON a.person_id = p.person_id AND a.project_id = p.project_id AND a.on_date = p.on_date
    LEFT JOIN leave_fact y ON y.person_id = p.person_id AND y.on_date = p.on_date
), line_fact AS (
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
               CASE WHEN count(*) = 1 THEN min(l.currency) END AS currency
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
    SELECT e.entry_id, count(*) AS standing_count,
           (array_agg(e.posting_hash ORDER BY e.effect_no DESC))[1] AS standing_hash,
           (array_agg(e.period_id ORDER BY e.effect_no DESC))[1] AS standing_period_id,
           (array_agg(e.project_id ORDER BY e.effect_no DESC))[1] AS standing_project_id,
           (array_agg(e.entity_code ORDER BY e.effect_no DESC))[1] AS standing_entity_code,
           coalesce(sum(e.amount), 0) AS standing_amount,
           bool_or(EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = e.business_key))
               AS is_standing_invoiced
    FROM (SELECT DISTINCT entry_id FROM considered) c
    CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.entry_id = c.entry_id OFFSET 0) e
    WHERE e.noun = 'time_line' AND e.kind = 'book'
      AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT', 'HANDED_OVER')
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND u.state = 'CONFIRMED')
    GROUP BY e.entry_id
), first_go_live AS (
    SELECT connection_key, min(go_live_on) AS go_live_on FROM connection_go_live GROUP BY connection_key
), real_zone AS MATERIALIZED (
    SELECT name FROM pg_timezone_names WHERE name IN (SELECT zone FROM considered WHERE zone IS NOT NULL)
), setting AS (
    SELECT n.entity_code, jsonb_object_agg(v.name, v.value ORDER BY v.entity_code) AS policy
    FROM (SELECT entity_code FROM legal_entity UNION ALL SELECT '') n
    JOIN policy_value v ON v.release_id = %(release_id)s AND v.entity_code IN ('', n.entity_code)
    GROUP BY n.entity_code
), period_fact AS (
    SELECT p.period_id, p.entity_code, p.starts_on, p.ends_on, coalesce(s.state, p.state) AS state
    FROM fiscal_period p
    LEFT JOIN fiscal_period_state s ON s.period_id = p.period_id
        AND s.recorded_at <= %(known_at)s AND (s.superseded_at IS NULL OR s.superseded_at > %(known_at)s)
), priced AS (
    SELECT s.*, r.contract_line_id, coalesce(r.rate_count, 0) AS rate_count, r.rate_amount, r.currency,
           coalesce(f.has_line_for_every_task, false) AS has_line_for_every_task,
           coalesce(f.has_line_for_every_category, false) AS has_line_for_every_category,
           coalesce(s.entry_is_billable, s.task_is_billable) AS is_billable,
           CASE WHEN coalesce(s.entry_is_billable, s.task_is_billable)
                THEN round(s.seconds * r.rate_amount / 3600, tieline.currency_digits(r.currency)) END AS amount,
           w.period_id, w.state AS period_state,
           coalesce(st.standing_count, 0) AS standing_count, st.standing_hash, st.standing_period_id,
           st.standing_amount, st.standing_project_id, st.standing_entity_code,
           coalesce(st.is_standing_invoiced, false) AS is_standing_invoiced,
           x.entry_id IS NOT NULL AS is_excluded,
           coalesce(s.work_date < coalesce(g.go_live_on, CASE WHEN s.entity_code IS NULL THEN g1.go_live_on END),
                    false) AS is_before_go_live,
           (%(known_at)s::timestamptz AT TIME ZONE coalesce(z.name, s.entity_zone, 'UTC'))::date AS today_on,
           (s.created_at AT TIME ZONE coalesce(z.name, s.entity_zone, 'UTC'))::date AS created_on,
           coalesce(o.policy, o0.policy, '{}') AS policy,
           tieline.posting_hash(s.entity_code, s.person_id, s.project_id, s.task_id, s.labor_category,
               r.contract_line_id, s.work_date, s.seconds,
               coalesce(s.entry_is_billable, s.task_is_billable)) AS posting_hash
    FROM staffed s
    LEFT JOIN rate_fact r ON r.contract_id = s.contract_id AND r.task_name = coalesce(s.task_name, '')
        AND r.labor_category = coalesce(s.labor_category, '') AND r.on_date = s.on_date
    LEFT JOIN line_fact f ON f.contract_id = s.contract_id AND f.on_date = s.on_date
    LEFT JOIN period_fact w ON w.entity_code = s.entity_code AND s.work_date >= w.starts_on AND s.work_date < w.ends_on
    LEFT JOIN standing st ON st.entry_id = s.entry_id
    LEFT JOIN exclusion x ON x.entry_id = s.entry_id AND x.recorded_at <= %(known_at)s
    LEFT JOIN connection_go_live g ON g.connection_key = s.connection_key AND g.entity_code = s.entity_code
    LEFT JOIN first_go_live g1 ON g1.connection_key = s.connection_key
    LEFT JOIN real_zone z ON z.name = s.zone
    LEFT JOIN setting o ON o.entity_code = s.entity_code
    LEFT JOIN setting o0 ON o0.entity_code = ''
), counted AS (
    SELECT p.*, NOT (p.is_deleted OR p.approval = 'not_approved' OR p.is_before_go_live OR p.is_excluded)
                AS is_counted,
           -- What leaves the population has changed, whatever its fields say.
           p.standing_count = 1 AND p.standing_hash = p.posting_hash
               AND NOT (p.is_deleted OR p.approval = 'not_approved' OR p.is_before_go_live OR p.is_excluded)
               AS is_posted_unchanged
    FROM priced p
), person_day AS (
    SELECT DISTINCT person_key, person_id, connection_key, person_ref, work_date FROM counted
    WHERE is_counted AND work_date IS NOT NULL
), person_day_ref AS (
    -- Everybody's names in every source on that day.
    SELECT d.person_key, d.work_date, x.connection_key, x.source_ref AS person_ref
    FROM (SELECT DISTINCT person_key, person_id, work_date FROM person_day WHERE person_id IS NOT NULL) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN known_link x ON x.our_id = o.alias_id AND x.noun = 'person' AND x.valid @> d.work_date
    UNION
    SELECT person_key, work_date, connection_key, person_ref FROM person_day WHERE person_id IS NULL
), stored_member AS (
    SELECT r.person_key, r.work_date, v.entry_id, t.connection_key, t.source_ref, v.seconds, v.started_at,
           v.ended_at, v.created_at, v.narrative_hash, coalesce(v.project_ref, '') AS project_key,
           coalesce(v.task_ref, '') AS task_key
    FROM person_day_ref r
    JOIN time_entry_version v ON v.person_ref = r.person_ref AND v.work_date = r.work_date AND {newest}
        AND NOT v.is_deleted AND v.approval <> 'not_approved'
    JOIN time_entry t ON t.entry_id = v.entry_id AND t.connection_key = r.connection_key
    WHERE NOT EXISTS (SELECT FROM considered c WHERE c.entry_id = v.entry_id)
      AND NOT EXISTS (SELECT FROM exclusion x WHERE x.entry_id = v.entry_id AND x.recorded_at <= %(known_at)s)
), stored_standing AS (
    SELECT DISTINCT e.entry_id
    FROM stored_member m
    CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.entry_id = m.entry_id OFFSET 0) e
    WHERE e.noun = 'time_line' AND e.kind = 'book'
      AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT', 'HANDED_OVER')
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND u.state = 'CONFIRMED')
), member AS (
    SELECT m.person_key, m.work_date, m.entry_id, m.connection_key, m.source_ref, m.seconds, m.started_at,
           m.ended_at, m.created_at, m.narrative_hash,
           coalesce(j.our_id::text, m.connection_key || ':' || m.project_key) AS project_word,
           coalesce(t2.our_id::text, t1.our_id::text, m.connection_key || ':' || m.task_key) AS task_word,
           s.entry_id IS NOT NULL AS is_standing
    FROM stored_member m
    LEFT JOIN stored_standing s ON s.entry_id = m.entry_id
    LEFT JOIN known_link j ON j.connection_key = m.connection_key AND j.noun = 'project'
        AND j.source_ref = m.project_key AND j.valid @> m.work_date
    LEFT JOIN known_link t1 ON t1.connection_key = m.connection_key AND t1.noun = 'task'
        AND t1.source_ref = m.task_key AND t1.valid @> m.work_date
    LEFT JOIN known_link t2 ON t2.connection_key = m.connection_key AND t2.noun = 'task'
        AND t2.source_ref = m.project_key || '/' || m.task_key AND t2.valid @> m.work_date
    UNION ALL
    SELECT c.person_key, c.work_date, c.entry_id, c.connection_key, c.source_ref, c.seconds, c.started_at,
           c.ended_at, c.created_at, c.narrative_hash,
           coalesce(c.project_id::text, c.connection_key || ':' || c.project_key),
           coalesce(c.any_task_id::text, c.connection_key || ':' || c.task_key), c.standing_count > 0
    FROM counted c
    WHERE c.is_counted AND c.work_date IS NOT NULL
), member_fact AS (
    SELECT entry_id, sum(seconds) OVER day AS day_seconds, count(*) OVER day AS day_count,
           count(*) OVER alike AS duplicate_count,
           row_number() OVER (alike ORDER BY is_standing DESC, created_at, length(source_ref),
                              source_ref COLLATE "C", connection_key COLLATE "C") AS duplicate_rank
    FROM member
    WINDOW day AS (PARTITION BY person_key, work_date),
           alike AS (PARTITION BY person_key, work_date, project_word, task_word, seconds, narrative_hash)
), overlap_fact AS (
    SELECT a.entry_id, count(*) AS overlap_count
    FROM member a
    JOIN member b ON b.person_key = a.person_key AND b.work_date = a.work_date AND b.entry_id <> a.entry_id
        AND b.started_at < a.ended_at AND a.started_at < b.ended_at
    GROUP BY a.entry_id
), cap_standing AS (
    SELECT v.contract_id, sum(e.amount) AS amount
    FROM effect e
    JOIN verdict v ON v.verdict_id = e.verdict_id
    WHERE e.project_id IN (SELECT p.project_id FROM project p WHERE p.contract_id IN (
              SELECT contract_id FROM counted WHERE cap_amount IS NOT NULL))
      AND e.noun = 'time_line' AND e.kind = 'book'
      AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT', 'HANDED_OVER')
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND u.state = 'CONFIRMED')
    GROUP BY v.contract_id
), cap_queue AS (
    -- What stands goes first, then by (work date, source identity).
    SELECT entry_id, coalesce(sum(amount) OVER (
        PARTITION BY contract_id
        ORDER BY work_date, connection_key COLLATE "C", source_epoch, object COLLATE "C", source_ref COLLATE "C"
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_amount
    FROM counted
    WHERE cap_amount IS NOT NULL AND is_counted AND standing_count = 0 AND amount IS NOT NULL
), erp_employee AS (
    SELECT d.person_id, d.entity_code, d.erp_connection_key, d.on_date, count(DISTINCT x.source_ref) AS link_count
    FROM (SELECT DISTINCT person_id, entity_code, erp_connection_key, on_date FROM counted
          WHERE person_id IS NOT NULL AND erp_connection_key IS NOT NULL) d
    JOIN known_link x ON x.connection_key = d.erp_connection_key AND x.noun = 'employee'
        AND x.our_id = d.person_id AND x.scope = d.entity_code AND x.valid @> d.on_date
    GROUP BY d.person_id, d.entity_code, d.erp_connection_key, d.on_date
), erp_task AS (
    SELECT d.contract_line_id, d.project_id, d.erp_connection_key, d.on_date,
           count(DISTINCT x.source_ref) AS link_count
    FROM (SELECT DISTINCT contract_line_id, project_id, erp_connection_key, on_date FROM counted
          WHERE contract_line_id IS NOT NULL AND erp_connection_key IS NOT NULL) d
    JOIN known_link x ON x.connection_key = d.erp_connection_key AND x.noun = 'erp_task'
        AND x.our_id = d.contract_line_id AND x.scope IN ('', d.project_id::text) AND x.valid @> d.on_date
    GROUP BY d.contract_line_id, d.project_id, d.erp_connection_key, d.on_date
), context AS (
    SELECT c.subject_no, c.entry_id, c.version, c.connection_key, c.source_epoch, c.object, c.source_ref,
        c.correlation_id, c.recorded_at, c.project_recorded_at,
        c.is_deleted, c.approval, c.approver_ref, c.is_excluded, c.is_before_go_live, c.is_counted,
        NOT c.is_counted AND c.standing_count > 0 AS is_leaving,
        c.person_ref, c.person_id, c.person_count, c.project_ref, c.project_id, c.project_count,
        c.project_status, c.accepts_time, c.project_starts_on, c.project_ends_on,
        c.task_ref, c.task_id, c.task_name, c.task_count, c.linked_task_count,
        c.task_project_id <> c.project_id AS is_task_elsewhere, c.is_leaf, c.task_starts_on, c.task_ends_on,
        c.contract_id, c.contract_is_active, c.contract_starts_on, c.contract_ends_on, c.billing_method,
        c.contract_currency, c.purchase_order, c.is_purchase_order_required, c.allows_unassigned_time,
        c.client_id, c.client_is_active, c.entity_code, c.erp_connection_key,
        coalesce(ee.link_count, 0) AS erp_employee_count, coalesce(et.link_count, 0) AS erp_task_count,
        c.home_entity_code, c.home_count, c.employment_count, c.has_employee_record, c.cost_rate,
        coalesce(a.agreement_id IS NOT NULL, false) AS is_intercompany_agreed,
        c.assignment_count, c.covering_count, c.labor_category, c.leave_count,
        c.has_line_for_every_task, c.has_line_for_every_category,
        c.contract_line_id, c.rate_count, c.rate_amount, c.currency, c.is_billable, c.amount,
        c.cap_amount,
        CASE WHEN c.cap_amount IS NOT NULL THEN coalesce(cs.amount, 0) - coalesce(c.standing_amount, 0)
             + coalesce(q.before_amount, 0) END AS cap_used_amount,
        c.period_id, c.period_state, sp.state AS standing_period_state, c.standing_period_id,
        c.standing_project_id, c.standing_entity_code, c.standing_count, c.is_posted_unchanged, c.standing_hash,
        c.is_standing_invoiced,
        c.work_date, c.today_on, c.created_on, c.seconds, c.started_at, c.ended_at, c.narrative_length,
        m.day_seconds, m.day_count, m.duplicate_count, m.duplicate_rank,
        coalesce(v.overlap_count, 0) AS overlap_count,
        (c.policy ->> 'day_seconds_max')::bigint AS policy_day_seconds_max,
        (c.policy ->> 'entry_seconds_max')::bigint AS policy_entry_seconds_max,
        (c.policy ->> 'late_entry_days')::integer AS policy_late_entry_days,
        (c.policy ->> 'future_days_max')::integer AS policy_future_days_max,
        (c.policy ->> 'narrative_length_min')::bigint AS policy_narrative_length_min,
        (c.policy ->> 'target_quantum_seconds')::bigint AS policy_target_quantum_seconds,
        (c.policy ->> 'park_seconds')::bigint AS policy_park_seconds,
        c.posting_hash,
        array_remove(ARRAY[
            'entry:' || c.entry_id,
            'person-day:' || c.person_key || ':' || c.work_date,
            'person:' || c.connection_key || ':' || c.person_ref,
            'project:' || c.connection_key || ':' || c.project_ref,
            'contract:' || c.contract_id,
            CASE WHEN c.cap_amount IS NOT NULL THEN 'cap:' || c.contract_id END
        ], NULL) AS neighbor_keys
    FROM counted c
    LEFT JOIN member_fact m ON m.entry_id = c.entry_id
    LEFT JOIN overlap_fact v ON v.entry_id = c.entry_id
    LEFT JOIN cap_standing cs ON cs.contract_id = c.contract_id
    LEFT JOIN cap_queue q ON q.entry_id = c.entry_id
    LEFT JOIN period_fact sp ON sp.period_id = c.standing_period_id
    LEFT JOIN intercompany_agreement a ON a.home_entity_code = c.home_entity_code
        AND a.project_entity_code = c.entity_code AND daterange(a.starts_on, a.ends_on) @> c.on_date
        AND a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s)
    LEFT JOIN erp_employee ee ON ee.person_id = c.person_id AND ee.entity_code = c.entity_code
        AND ee.erp_connection_key = c.erp_connection_key AND ee.on_date = c.on_date
    LEFT JOIN erp_task et ON et.contract_line_id = c.contract_line_id AND et.project_id = c.project_id
        AND et.erp_connection_key = c.erp_connection_key AND et.on_date = c.on_date
    WHERE c.is_subject
)
