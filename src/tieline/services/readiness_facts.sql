-- Everything a readiness check looks at, one row per contract and fiscal period that is still to be billed,
-- released or invoiced. Each source is summed once and joined; every join yields at most one row. The sums are
-- materialized: put into the joins, they would be made again for every row beside them.
WITH terms AS (
    SELECT c.contract_id, c.contract_code, c.client_id, c.entity_code, v.billing_method, v.currency,
           v.value_amount, v.cap_amount, v.purchase_order, v.is_purchase_order_required, v.tax_treatment,
           v.is_active, v.starts_on AS contract_starts_on, v.ends_on AS contract_ends_on,
           l.currency AS company_currency, l.erp_connection_key, e.mode AS erp_mode, e.paused AS erp_paused, e.system AS erp_system,
           timezone(l.zone, %(now)s::timestamptz)::date AS today
    FROM contract c
    JOIN contract_version v ON v.contract_id = c.contract_id AND v.superseded_at IS NULL
    JOIN legal_entity l ON l.entity_code = c.entity_code
    LEFT JOIN connection e ON e.connection_key = l.erp_connection_key
    WHERE (%(contract_ids)s::uuid[] IS NULL OR c.contract_id = ANY (%(contract_ids)s::uuid[]))
), unbilled AS (
    -- Summed per fiscal period of work before anything is joined: history is long, periods are few.
    SELECT l.contract_id, l.contract_line_id, l.is_billable, l.rate_amount, l.currency,
           coalesce(w.starts_on, '-infinity') AS worked_from, sum(l.seconds) AS seconds,
           sum(l.target_seconds) AS target_seconds, sum(l.amount) AS amount
    FROM ledger_line l
    JOIN terms USING (contract_id)
    LEFT JOIN fiscal_period w ON w.entity_code = l.entity_code AND w.starts_on <= l.work_date
         AND w.ends_on > l.work_date
    WHERE NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = l.business_key)
    GROUP BY l.contract_id, l.contract_line_id, l.is_billable, l.rate_amount, l.currency, w.starts_on
    HAVING sum(l.seconds) <> 0 OR sum(l.target_seconds) <> 0
), last_lock AS (
    SELECT DISTINCT ON (contract_id, period_id) contract_id, period_id, unlocked_at IS NULL AS is_open
    FROM release_lock ORDER BY contract_id, period_id, released_at DESC
), invoiced AS (
    SELECT contract_id, period_id, count(*) AS invoices, sum(untaxed_amount) AS amount
    FROM invoice_record GROUP BY contract_id, period_id
), billed AS (
    SELECT contract_id, sum(untaxed_amount) AS amount,
           count(*) FILTER (WHERE mismatch_amount <> 0) AS mismatches,
           sum(abs(mismatch_amount)) AS mismatch_amount
    FROM invoice_record GROUP BY contract_id
), scope AS (
    SELECT t.*, p.period_id, p.period_code, p.starts_on, p.ends_on, p.cut_off_at,
           p.state AS period_state, p.ends_on - 1 AS up_to_on, t.today >= p.ends_on AS is_over,
           t.today >= p.ends_on AND %(now)s > p.cut_off_at AS is_cut_off_passed,
           coalesce(k.is_open, false) AS is_released, i.invoices IS NOT NULL AS is_invoiced,
           p.starts_on = min(p.starts_on) FILTER (
               WHERE daterange(t.contract_starts_on, t.contract_ends_on) && daterange(p.starts_on, p.ends_on))
               OVER (PARTITION BY t.contract_id) AS is_first
    FROM terms t
    JOIN fiscal_period p ON p.entity_code = t.entity_code
    LEFT JOIN last_lock k ON (k.contract_id, k.period_id) = (t.contract_id, p.period_id)
    LEFT JOIN invoiced i ON (i.contract_id, i.period_id) = (t.contract_id, p.period_id)
    WHERE p.starts_on <= t.today
      AND (k.is_open OR i.invoices IS NOT NULL OR (p.state = 'open' AND (
           daterange(t.contract_starts_on, t.contract_ends_on) && daterange(p.starts_on, p.ends_on)
           OR EXISTS (SELECT FROM billing_schedule b WHERE b.contract_code = t.contract_code AND b.superseded_at IS NULL
                      AND b.due_on >= p.starts_on AND b.due_on < p.ends_on)
           OR EXISTS (SELECT FROM unbilled u WHERE u.contract_id = t.contract_id
                      AND (u.worked_from = p.starts_on
                           -- Hours that came after their period's invoice are billed with the next one.
                           OR (u.worked_from < p.starts_on AND EXISTS (
                               SELECT FROM fiscal_period w JOIN invoiced b ON b.period_id = w.period_id
                               WHERE w.entity_code = t.entity_code AND w.starts_on = u.worked_from
                                 AND b.contract_id = t.contract_id)))))))
), lines AS MATERIALIZED (
    SELECT s.contract_id, s.period_id,
           coalesce(sum(u.seconds) FILTER (WHERE u.is_billable), 0) AS seconds,
           coalesce(sum(u.amount) FILTER (WHERE u.is_billable), 0) AS amount,
           count(*) FILTER (WHERE u.is_billable AND coalesce(u.rate_amount, 0) = 0 AND u.seconds > 0) AS unrated,
           coalesce(sum(u.seconds) FILTER (WHERE u.is_billable AND coalesce(u.rate_amount, 0) = 0), 0)
               AS unrated_seconds,
           count(*) FILTER (WHERE u.is_billable AND u.currency IS DISTINCT FROM s.currency) AS other_currency,
           coalesce(sum(u.seconds) FILTER (WHERE NOT u.is_billable AND c.rate_amount > 0), 0)
               AS nonbillable_seconds,
           count(*) FILTER (WHERE u.is_billable AND u.rate_amount <> c.rate_amount) AS rerated,
           coalesce(sum(u.seconds * (c.rate_amount - u.rate_amount) / 3600)
               FILTER (WHERE u.is_billable AND u.rate_amount <> c.rate_amount), 0) AS rerated_amount,
           coalesce(sum(u.target_seconds - u.seconds), 0) AS altered_seconds,
           count(*) FILTER (WHERE u.contract_line_id IS NOT NULL AND x.our_id IS NULL) AS unlinked
    FROM scope s
    JOIN unbilled u ON u.contract_id = s.contract_id AND u.worked_from < s.ends_on
    LEFT JOIN contract_line c ON c.contract_line_id = u.contract_line_id AND c.superseded_at IS NULL
    LEFT JOIN (SELECT DISTINCT connection_key, our_id FROM crosswalk
               WHERE noun = 'erp_task' AND superseded_at IS NULL) x
        ON x.our_id = u.contract_line_id AND x.connection_key = s.erp_connection_key
    GROUP BY s.contract_id, s.period_id
), placed AS MATERIALIZED (
    SELECT entry_id, verdict_id, contract_id, period_id, place, seconds FROM entry_places
    WHERE place IN ('pending', 'held', 'handed_over', 'leaving')
), waiting AS (
    -- Summed per fiscal period of work before a period is joined, as the ledger is above.
    SELECT e.contract_id, e.period_id, p.starts_on AS worked_from, e.place,
           sum(e.seconds) AS seconds, sum(v.amount) AS amount
    FROM placed e
    JOIN terms USING (contract_id)
    -- Hours without a period have no date that anybody knows: they may belong to every one.
    LEFT JOIN fiscal_period p ON p.period_id = e.period_id
    JOIN verdict v ON v.verdict_id = e.verdict_id
    WHERE e.place <> 'leaving'
    GROUP BY e.contract_id, e.period_id, p.starts_on, e.place
), places AS MATERIALIZED (
    SELECT s.contract_id, s.period_id,
        coalesce(sum(e.seconds) FILTER (WHERE e.place = 'pending' AND e.period_id = s.period_id), 0) AS waiting_seconds,
        coalesce(sum(e.amount) FILTER (WHERE e.place = 'pending' AND e.period_id = s.period_id), 0) AS waiting_amount,
        coalesce(sum(e.seconds) FILTER (WHERE e.place = 'held' AND e.period_id = s.period_id), 0) AS held_seconds,
        coalesce(sum(e.amount) FILTER (WHERE e.place = 'held' AND e.period_id = s.period_id), 0) AS held_amount,
        coalesce(sum(e.seconds) FILTER (WHERE e.place = 'handed_over' AND e.period_id = s.period_id), 0)
            AS handed_over_seconds,
        coalesce(sum(e.amount) FILTER (WHERE e.place = 'handed_over' AND e.period_id = s.period_id), 0)
            AS handed_over_amount,
        coalesce(sum(e.seconds) FILTER (WHERE e.period_id IS DISTINCT FROM s.period_id), 0) AS late_seconds,
        coalesce(sum(e.amount) FILTER (WHERE e.period_id IS DISTINCT FROM s.period_id), 0) AS late_amount
    FROM scope s
    JOIN waiting e ON e.contract_id = s.contract_id AND (e.period_id IS NULL OR e.worked_from < s.ends_on)
    GROUP BY s.contract_id, s.period_id
), leaving_days AS (
    -- What was deleted or lost its approval still stands in the ledger until it is taken back.
    SELECT l.contract_id, l.work_date, sum(l.seconds) AS seconds, sum(l.amount) AS amount
    FROM placed e
    JOIN ledger_line l ON l.entry_id = e.entry_id
    JOIN terms ON terms.contract_id = l.contract_id
    WHERE e.place = 'leaving'
      AND NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = l.business_key)
    GROUP BY l.contract_id, l.work_date
), leaving AS MATERIALIZED (
    SELECT s.contract_id, s.period_id, sum(l.seconds) AS seconds, sum(l.amount) AS amount
    FROM scope s
    JOIN leaving_days l ON l.contract_id = s.contract_id AND l.work_date < s.ends_on
    GROUP BY s.contract_id, s.period_id HAVING sum(l.seconds) <> 0
), unapproved AS MATERIALIZED (
    SELECT s.contract_id, s.period_id, sum(w.seconds) AS seconds,
           count(DISTINCT w.person_ref) AS people
    FROM scope s
    JOIN project j ON j.contract_id = s.contract_id
    JOIN crosswalk x ON x.our_id = j.project_id AND x.noun = 'project' AND x.superseded_at IS NULL
    JOIN time_entry_version w ON w.project_ref = x.source_ref AND w.is_newest AND NOT w.is_deleted
         AND w.approval <> 'approved' AND w.work_date >= s.starts_on AND w.work_date < s.ends_on
         AND daterange(x.starts_on, x.ends_on) @> w.work_date
    JOIN time_entry t ON t.entry_id = w.entry_id AND t.connection_key = x.connection_key
    GROUP BY s.contract_id, s.period_id
), writes AS MATERIALIZED (
    SELECT s.contract_id, s.period_id,
        count(*) FILTER (WHERE e.state IN ('INTENT', 'UNKNOWN', 'PROBING')) AS unconfirmed,
        coalesce(sum(e.seconds) FILTER (WHERE e.state IN ('INTENT', 'UNKNOWN', 'PROBING')), 0) AS unconfirmed_seconds,
        coalesce(sum(e.amount) FILTER (WHERE e.state IN ('INTENT', 'UNKNOWN', 'PROBING')), 0) AS unconfirmed_amount,
        count(*) FILTER (WHERE e.state IN ('REJECTED', 'CONFLICT')) AS refused,
        coalesce(sum(abs(e.amount)) FILTER (WHERE e.state IN ('REJECTED', 'CONFLICT')), 0) AS refused_amount
    FROM scope s
    JOIN project j ON j.contract_id = s.contract_id
    JOIN open_effect e ON e.project_id = j.project_id AND e.noun = 'time_line'
         AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'REJECTED', 'CONFLICT')
    JOIN fiscal_period p ON p.period_id = e.period_id AND p.starts_on < s.ends_on
    GROUP BY s.contract_id, s.period_id
), worked AS MATERIALIZED (
    -- Who booked anything in the days of a period, anywhere: asked once, not for each assignment.
    SELECT DISTINCT x.our_id AS person_id, p.starts_on, p.ends_on
    FROM (SELECT DISTINCT starts_on, ends_on FROM scope) p
    JOIN time_entry_version w ON w.is_newest AND NOT w.is_deleted
         AND w.work_date >= p.starts_on AND w.work_date < p.ends_on
    JOIN time_entry t ON t.entry_id = w.entry_id
    JOIN crosswalk x ON x.noun = 'person' AND x.connection_key = t.connection_key AND x.source_ref = w.person_ref
         AND x.superseded_at IS NULL
), idle AS MATERIALIZED (
    SELECT s.contract_id, s.period_id, s.starts_on, s.ends_on, j.project_id, a.person_id
    FROM scope s
    JOIN project j ON j.contract_id = s.contract_id
    JOIN assignment a ON a.project_id = j.project_id AND a.superseded_at IS NULL
         AND daterange(a.starts_on, a.ends_on) && daterange(s.starts_on, s.ends_on)
    LEFT JOIN worked w ON (w.person_id, w.starts_on, w.ends_on) = (a.person_id, s.starts_on, s.ends_on)
    WHERE w.person_id IS NULL
), absent AS MATERIALIZED (
    -- Somebody is assigned in the period, not away for all of it, and has booked nothing at all.
    SELECT i.contract_id, i.period_id, count(DISTINCT i.person_id) AS people
    FROM idle i
    WHERE NOT EXISTS (SELECT FROM leave y WHERE y.person_id = i.person_id AND y.superseded_at IS NULL
                      AND y.starts_on <= i.starts_on AND y.ends_on >= i.ends_on)
      AND NOT EXISTS (SELECT FROM ledger_line l WHERE l.project_id = i.project_id AND l.person_id = i.person_id
                      AND l.work_date >= i.starts_on AND l.work_date < i.ends_on)
    GROUP BY i.contract_id, i.period_id
), projects AS MATERIALIZED (
    SELECT t.contract_id, count(*) AS projects,
           count(*) FILTER (WHERE v.status IS DISTINCT FROM 'active' AND v.status IS DISTINCT FROM 'closed') AS inactive,
           count(*) FILTER (WHERE x.our_id IS NULL) AS unlinked
    FROM terms t
    JOIN project j USING (contract_id)
    LEFT JOIN project_version v ON v.project_id = j.project_id AND v.superseded_at IS NULL
    LEFT JOIN (SELECT DISTINCT connection_key, our_id FROM crosswalk
               WHERE noun = 'project' AND superseded_at IS NULL) x
        ON x.our_id = j.project_id AND x.connection_key = t.erp_connection_key
    GROUP BY t.contract_id
), contract_lines AS (
    SELECT contract_id, count(*) AS lines, count(*) FILTER (WHERE c.currency <> t.currency) AS other_currency
    FROM terms t JOIN contract_line c USING (contract_id) WHERE c.superseded_at IS NULL GROUP BY contract_id
), plans AS (
    SELECT contract_id, count(*) AS unfinished FROM provisioning_plan
    WHERE contract_id IS NOT NULL AND state IN ('blocked', 'ready', 'running', 'compensating', 'stuck')
    GROUP BY contract_id
), cases AS (
    SELECT t.contract_id, count(*) AS open FROM terms t
    JOIN case_file c ON c.state = 'open' AND c.thing_kind = 'contract' AND c.thing_key = t.contract_id::text
    GROUP BY t.contract_id
), locks AS (
    SELECT contract_id, (array_agg(period_id))[1] AS locked_period_id FROM release_lock
    WHERE unlocked_at IS NULL GROUP BY contract_id
), carried AS (
    -- A release that was withdrawn carried nothing.
    SELECT c.contract_id, c.period_id, sum(c.seconds) AS seconds, sum(c.amount) AS amount
    FROM carry_over c JOIN release_lock k USING (lock_id)
    WHERE k.unlocked_at IS NULL OR k.unlocked_because = 'invoiced'
    GROUP BY c.contract_id, c.period_id
)
SELECT s.*,
       coalesce(l.seconds, 0)::bigint AS seconds, coalesce(l.amount, 0) AS ledger_amount,
       coalesce(l.unrated, 0) AS unrated_lines, coalesce(l.unrated_seconds, 0)::bigint AS unrated_seconds,
       coalesce(l.other_currency, 0) AS other_currency_lines,
       coalesce(l.nonbillable_seconds, 0)::bigint AS nonbillable_seconds,
       coalesce(l.rerated, 0) AS rerated_lines, abs(coalesce(l.rerated_amount, 0)) AS rerated_amount,
       abs(coalesce(l.altered_seconds, 0))::bigint AS altered_seconds, coalesce(l.unlinked, 0) AS unlinked_lines,
       coalesce(h.waiting_seconds, 0)::bigint AS waiting_seconds, coalesce(h.waiting_amount, 0) AS waiting_amount,
       coalesce(h.held_seconds, 0)::bigint AS held_seconds, coalesce(h.held_amount, 0) AS held_amount,
       coalesce(h.handed_over_seconds, 0)::bigint AS handed_over_seconds,
       coalesce(h.handed_over_amount, 0) AS handed_over_amount,
       coalesce(h.late_seconds, 0)::bigint AS late_seconds, coalesce(h.late_amount, 0) AS late_amount,
       coalesce(q.seconds, 0)::bigint AS leaving_seconds, coalesce(q.amount, 0) AS leaving_amount,
       coalesce(n.seconds, 0)::bigint AS unapproved_seconds, coalesce(n.people, 0) AS unapproved_people,
       coalesce(w.unconfirmed, 0) AS unconfirmed_writes, coalesce(w.unconfirmed_seconds, 0)::bigint AS unconfirmed_seconds,
       coalesce(w.unconfirmed_amount, 0) AS unconfirmed_amount,
       coalesce(w.refused, 0) AS refused_writes, coalesce(w.refused_amount, 0) AS refused_amount,
       coalesce(a.people, 0) AS absent_people,
       coalesce(j.projects, 0) AS projects, coalesce(j.inactive, 0) AS inactive_projects,
       coalesce(j.unlinked, 0) AS unlinked_projects,
       coalesce(cl.lines, 0) AS contract_lines, coalesce(cl.other_currency, 0) AS other_currency_contract_lines,
       coalesce(pl.unfinished, 0) AS unfinished_plans, coalesce(cs.open, 0) AS open_cases,
       coalesce(b.amount, 0) AS billed_amount, coalesce(b.mismatches, 0) AS mismatched_invoices,
       coalesce(b.mismatch_amount, 0) AS mismatched_amount,
       (k.locked_period_id IS NOT NULL AND k.locked_period_id <> s.period_id) AS is_released_elsewhere,
       EXISTS (SELECT FROM crosswalk x WHERE x.noun = 'contract' AND x.our_id = s.contract_id
               AND x.connection_key = s.erp_connection_key AND x.superseded_at IS NULL) AS is_contract_linked,
       coalesce(y.seconds, 0)::bigint AS carried_seconds, coalesce(y.amount, 0) AS carried_amount,
       g.is_active AS client_is_active, g.vat_number, g.street, g.city, g.postal_code, g.country_code
FROM scope s
LEFT JOIN lines l USING (contract_id, period_id)
LEFT JOIN places h USING (contract_id, period_id)
LEFT JOIN leaving q USING (contract_id, period_id)
LEFT JOIN unapproved n USING (contract_id, period_id)
LEFT JOIN writes w USING (contract_id, period_id)
LEFT JOIN absent a USING (contract_id, period_id)
LEFT JOIN projects j USING (contract_id)
LEFT JOIN contract_lines cl USING (contract_id)
LEFT JOIN plans pl USING (contract_id)
LEFT JOIN cases cs USING (contract_id)
LEFT JOIN billed b USING (contract_id)
LEFT JOIN locks k USING (contract_id)
LEFT JOIN carried y USING (contract_id, period_id)
LEFT JOIN client_version g ON g.client_id = s.client_id AND g.superseded_at IS NULL
ORDER BY s.entity_code, s.starts_on, s.contract_code
