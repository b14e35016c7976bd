-- What the firm and its systems say of a contract beside its hours, as of today: one row per contract. Unknown is what
-- nobody told anything of; a client that was merged speaks with all its names.
WITH terms AS (
    SELECT c.contract_id, c.contract_code, coalesce(o.redirect_to, o.client_id) AS client_id, c.entity_code,
           v.billing_method, v.currency, v.tax_treatment, v.practice, v.starts_on, v.ends_on, g.country_code,
           l.currency AS company_currency, l.erp_connection_key,
           timezone(l.zone, %(now)s::timestamptz)::date AS today
    FROM contract c
    JOIN contract_version v ON v.contract_id = c.contract_id AND v.superseded_at IS NULL
    JOIN legal_entity l ON l.entity_code = c.entity_code
    JOIN client o ON o.client_id = c.client_id
    LEFT JOIN client_version g ON g.client_id = c.client_id AND g.superseded_at IS NULL
    WHERE (%(contract_ids)s::uuid[] IS NULL OR c.contract_id = ANY (%(contract_ids)s::uuid[]))
), hold AS (
    SELECT coalesce(o.redirect_to, o.client_id) AS client_id, min(h.reason) AS reason, h.starts_on, h.ends_on
    FROM client_hold h JOIN client o USING (client_id)
    WHERE h.superseded_at IS NULL GROUP BY 1, 3, 4
), guideline AS (
    SELECT coalesce(o.redirect_to, o.client_id) AS client_id, daterange(g.starts_on, g.ends_on) AS valid,
           min(g.bill_days_max) AS bill_days_max, min(g.bill_days_after_end_max) AS bill_days_after_end_max
    FROM client_guideline g JOIN client o USING (client_id)
    WHERE g.superseded_at IS NULL GROUP BY 1, 2
), schedule AS (
    SELECT t.contract_id, count(*) AS parts, count(*) FILTER (WHERE s.currency <> t.currency) AS other_currency
    FROM terms t JOIN billing_schedule s ON s.contract_code = t.contract_code AND s.superseded_at IS NULL
    GROUP BY t.contract_id
), beside AS (
    SELECT r.contract_id, count(*) AS invoices FROM invoice_record r
    WHERE NOT EXISTS (SELECT FROM billed_item b WHERE b.invoice_id = r.invoice_id)
      AND NOT EXISTS (SELECT FROM invoice_ledger_line l WHERE l.invoice_id = r.invoice_id)
      -- Of the shares of one whole, the first invoice took its hours and parts for all of them.
      AND NOT EXISTS (
          SELECT FROM invoice_share s JOIN invoice_share o USING (drawing_id)
          JOIN invoice_record f ON f.business_key = o.business_key
          WHERE s.business_key = r.business_key
            AND (EXISTS (SELECT FROM billed_item b WHERE b.invoice_id = f.invoice_id)
                 OR EXISTS (SELECT FROM invoice_ledger_line l WHERE l.invoice_id = f.invoice_id)))
    GROUP BY r.contract_id
), funding AS (
    SELECT t.contract_id, sum(s.amount) AS amount FROM terms t
    JOIN spending_limit s ON s.contract_id = t.contract_id AND s.superseded_at IS NULL AND s.kind = 'funding'
         AND s.task_name = '' AND s.currency = t.currency AND daterange(s.starts_on, s.ends_on) @> t.today
    GROUP BY t.contract_id
), limits AS (
    -- However they hold: what is told of other days, a task or a currency of its own says that something is.
    SELECT s.contract_id, coalesce(o.redirect_to, o.client_id) AS client_id, count(*) AS limits
    FROM spending_limit s LEFT JOIN client o ON o.client_id = s.client_id
    WHERE s.superseded_at IS NULL AND s.kind = 'funding' GROUP BY 1, 2
), told_orders AS (
    SELECT contract_id, count(*) AS told FROM purchase_order WHERE superseded_at IS NULL GROUP BY 1
), orders AS (
    -- What is left of the client's only order. Of several each takes its own days and tasks, as the draft splits them:
    -- no sum of theirs says whether an invoice is covered. Unknown, too, where it names no amount.
    SELECT t.contract_id,
           count(*) FILTER (WHERE p.task_name = '' AND daterange(p.starts_on, p.ends_on) @> t.today) AS orders,
           CASE WHEN count(*) = 1 AND bool_and(p.task_name = '') THEN sum(p.amount - coalesce(b.amount, 0))
           END AS left_amount
    FROM terms t
    JOIN purchase_order p ON p.contract_id = t.contract_id AND p.superseded_at IS NULL AND p.currency = t.currency
    LEFT JOIN (SELECT contract_id, order_number, sum(untaxed_amount) AS amount FROM invoice_record GROUP BY 1, 2) b
        ON (b.contract_id, b.order_number) = (p.contract_id, p.order_number)
    GROUP BY t.contract_id
), unbilled AS MATERIALIZED (
    SELECT l.contract_id, l.entry_id, l.work_date, l.project_id, l.is_billable, l.seconds, l.amount, l.business_key
    FROM ledger_line l JOIN terms USING (contract_id)
    WHERE NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = l.business_key)
), worked AS (
    SELECT u.contract_id, min(u.work_date) FILTER (WHERE u.is_billable AND u.seconds > 0) AS oldest_on,
           coalesce(sum(u.seconds) FILTER (
               WHERE u.work_date < t.starts_on OR u.work_date >= t.ends_on), 0) AS outside_seconds,
           coalesce(sum(u.amount) FILTER (
               WHERE u.is_billable AND (u.work_date < t.starts_on OR u.work_date >= t.ends_on)), 0) AS outside_amount
    FROM unbilled u JOIN terms t USING (contract_id) GROUP BY u.contract_id
), linted AS (
    -- An hour that was posted is asked again when its client's guidelines change: its verdict says what they say now.
    SELECT u.contract_id, count(DISTINCT u.entry_id) AS hours, sum(u.seconds) AS seconds, coalesce(sum(u.amount), 0) AS amount
    FROM unbilled u
    JOIN time_entry e USING (entry_id)
    WHERE EXISTS (SELECT FROM verdict_reason r WHERE r.verdict_id = e.verdict_id AND r.code = ANY (%(content)s::text[]))
    GROUP BY u.contract_id HAVING sum(u.seconds) <> 0
), legs AS (
    -- Work of another company's people: known where that company told what it books.
    SELECT u.contract_id, count(*) AS hours,
           count(*) FILTER (WHERE x.currency IS NULL) AS unpriced,
           count(*) FILTER (WHERE b.intercompany_booking_id IS NULL) AS unbooked,
           bool_and(EXISTS (SELECT FROM intercompany_booking a WHERE a.home_entity_code = x.home_entity_code)) AS is_told
    FROM unbilled u
    JOIN expected_leg x ON x.business_key = u.business_key
    LEFT JOIN fiscal_period h ON h.entity_code = x.home_entity_code AND h.period_code = x.home_period_code
    LEFT JOIN intercompany_booking b ON b.home_entity_code = x.home_entity_code
         AND b.project_entity_code = x.project_entity_code AND b.currency = x.currency AND b.superseded_at IS NULL
         AND b.starts_on >= h.starts_on AND b.starts_on < h.ends_on
    GROUP BY u.contract_id
), credits AS (
    SELECT contract_id, count(*) AS open, coalesce(sum(credit_amount), 0) AS amount
    FROM credit_proposal WHERE state = 'proposed' GROUP BY contract_id
), changes AS (
    -- What was changed after it was posted and waits for a person: nobody agreed to it, and it is still the newest.
    SELECT p.contract_id, count(*) AS open
    FROM posted_change p
    JOIN time_entry e ON e.entry_id = p.entry_id AND e.newest_version = p.version
    JOIN effect f ON f.business_key = p.standing_key AND f.state = 'CONFIRMED'
    WHERE p.way IN ('ask', 'hold') AND NOT EXISTS (
        SELECT FROM adjustment a WHERE (a.entry_id, a.version) = (p.entry_id, p.version) AND a.superseded_at IS NULL)
    GROUP BY p.contract_id
), stops AS (
    SELECT t.contract_id, count(*) AS standing FROM terms t
    JOIN posting_stop s ON s.lifted_at IS NULL
         AND coalesce(s.target_connection = t.erp_connection_key, true)
         AND coalesce(s.entity_code = t.entity_code, true)
         AND (s.project_id IS NULL OR EXISTS (
             SELECT FROM project j WHERE j.project_id = s.project_id AND j.contract_id = t.contract_id))
    GROUP BY t.contract_id
)
SELECT t.contract_id, coalesce(e.parts, 0) AS schedule_count, coalesce(e.other_currency, 0) AS schedule_other_currency_count,
       coalesce(i.invoices, 0) AS invoices_beside_schedule,
       (SELECT policy_word(r.release_id, 'invoice_lines_max', t.entity_code, '1000') FROM release r
        WHERE r.state = 'current')::integer AS invoice_lines_max,
       EXISTS (SELECT FROM client_hold) AS is_hold_told,
       (SELECT min(h.reason) FROM hold h WHERE h.client_id = t.client_id AND daterange(h.starts_on, h.ends_on) @> t.today)
           AS client_hold,
       EXISTS (SELECT FROM tax_treatment x WHERE x.entity_code = t.entity_code AND x.superseded_at IS NULL) AS is_tax_told,
       EXISTS (SELECT FROM tax_treatment x WHERE x.entity_code = t.entity_code AND x.superseded_at IS NULL
               AND x.treatment = t.tax_treatment AND x.country_code IN ('', t.country_code)
               AND daterange(x.starts_on, x.ends_on) @> t.today) AS is_tax_allowed,
       EXISTS (SELECT FROM revenue_account r WHERE r.entity_code = t.entity_code AND r.superseded_at IS NULL) AS is_account_told,
       (SELECT r.is_enabled FROM revenue_account r WHERE r.entity_code = t.entity_code AND r.superseded_at IS NULL
        AND r.practice IN (t.practice, '') AND daterange(r.starts_on, r.ends_on) @> t.today
        ORDER BY r.practice = '' LIMIT 1) AS is_account_enabled,
       EXISTS (SELECT FROM fx_rate f WHERE f.superseded_at IS NULL AND daterange(f.starts_on, f.ends_on) @> t.today
               AND (t.currency, t.company_currency) IN ((f.from_currency, f.to_currency), (f.to_currency, f.from_currency)))
           AS has_fx_rate,
       (SELECT p.state FROM fiscal_period p WHERE p.entity_code = t.entity_code AND p.starts_on <= t.today
        AND p.ends_on > t.today) AS invoice_period_state,
       EXISTS (SELECT FROM spending_limit s WHERE s.kind = 'funding' AND s.superseded_at IS NULL) AS is_funding_told,
       coalesce(m.limits, 0) + coalesce(k.limits, 0) AS funding_count,
       EXISTS (SELECT FROM client_guideline y WHERE y.superseded_at IS NULL) AS is_guideline_told,
       coalesce(q.told, 0) AS orders_told,
       f.amount AS funding_amount, coalesce(o.orders, 0) AS orders_count, o.left_amount AS order_left_amount,
       g.bill_days_max, g.bill_days_after_end_max, t.today - w.oldest_on AS oldest_days,
       CASE WHEN t.ends_on <= t.today THEN t.today - t.ends_on END AS days_after_end,
       coalesce(w.outside_seconds, 0)::bigint AS outside_seconds, coalesce(w.outside_amount, 0) AS outside_amount,
       coalesce(n.hours, 0) AS linted_hours, coalesce(n.seconds, 0)::bigint AS linted_seconds,
       coalesce(n.amount, 0) AS linted_amount,
       coalesce(x.hours, 0) AS legs_count, coalesce(x.unpriced, 0) AS legs_unpriced,
       coalesce(x.unbooked, 0) AS legs_unbooked, coalesce(x.is_told, false) AS are_legs_told,
       coalesce(c.open, 0) AS open_credits, coalesce(c.amount, 0) AS open_credit_amount,
       coalesce(h.open, 0) AS open_changes, coalesce(z.standing, 0) AS posting_stops
FROM terms t
LEFT JOIN schedule e USING (contract_id)
LEFT JOIN beside i USING (contract_id)
LEFT JOIN funding f USING (contract_id)
LEFT JOIN told_orders q USING (contract_id)
LEFT JOIN orders o USING (contract_id)
LEFT JOIN worked w USING (contract_id)
LEFT JOIN linted n USING (contract_id)
LEFT JOIN legs x USING (contract_id)
LEFT JOIN credits c USING (contract_id)
LEFT JOIN changes h USING (contract_id)
LEFT JOIN stops z USING (contract_id)
LEFT JOIN limits m ON m.contract_id = t.contract_id
LEFT JOIN limits k ON k.client_id = t.client_id
LEFT JOIN LATERAL (
    SELECT min(g.bill_days_max) AS bill_days_max, min(g.bill_days_after_end_max) AS bill_days_after_end_max
    FROM guideline g WHERE g.client_id = t.client_id AND g.valid @> t.today
) g ON true
