limit_row AS (
    SELECT l.spending_limit_id AS limit_id, l.kind, l.contract_id, l.client_id, l.task_name, l.amount, l.currency, l.seconds,
           daterange(l.starts_on, l.ends_on) AS valid
    FROM spending_limit l
    WHERE l.recorded_at <= %(known_at)s AND (l.superseded_at IS NULL OR l.superseded_at > %(known_at)s)
), order_row AS (
    SELECT o.purchase_order_id, o.contract_id, o.order_number, o.task_name, o.amount, o.currency,
           daterange(o.starts_on, o.ends_on) AS valid
    FROM purchase_order o
    WHERE o.recorded_at <= %(known_at)s AND (o.superseded_at IS NULL OR o.superseded_at > %(known_at)s)
), order_fact AS (
    -- An order of the task beats one of the whole contract; two of one sort are ambiguous.
    SELECT DISTINCT ON (contract_id, task_name, on_date) *
    FROM (
        SELECT d.contract_id, d.task_name, d.on_date, o.task_name <> d.task_name AS is_wide,
               count(o.purchase_order_id) AS order_count,
               CASE WHEN count(o.purchase_order_id) = 1 THEN min(o.order_number) END AS order_number
        FROM (SELECT DISTINCT contract_id, coalesce(task_name, '') AS task_name, on_date FROM placed
              WHERE contract_id IN (SELECT contract_id FROM order_row)) d
        LEFT JOIN order_row o ON o.contract_id = d.contract_id AND o.task_name IN (d.task_name, '')
            AND o.valid @> d.on_date
        GROUP BY d.contract_id, d.task_name, d.on_date, 4
    ) ranked
    ORDER BY contract_id, task_name, on_date, is_wide
), limit_contract AS (
    SELECT limit_id, kind, contract_id, false AS is_of_client, task_name, amount, currency, seconds, valid
    FROM limit_row WHERE contract_id IS NOT NULL
    UNION ALL
    SELECT l.limit_id, l.kind, k.contract_id, true, l.task_name, l.amount, l.currency, l.seconds, l.valid
    FROM limit_row l
    -- What was agreed for a client that was merged holds for the one who stays.
    JOIN client o ON o.client_id = l.client_id
    JOIN client n ON coalesce(n.redirect_to, n.client_id) = coalesce(o.redirect_to, o.client_id)
    JOIN contract k ON k.client_id = n.client_id
    UNION ALL
    SELECT purchase_order_id, 'order', contract_id, false, task_name, amount, currency, NULL, valid
    FROM order_row WHERE amount IS NOT NULL
), limit_key AS (
    SELECT contract_id, bool_or(NOT is_of_client) AS is_of_contract, bool_or(is_of_client) AS is_of_client
    FROM limit_contract GROUP BY contract_id
), limit_asked AS (
    SELECT l.limit_id, l.kind, l.amount AS limit_amount, l.seconds AS limit_seconds, l.currency AS limit_currency,
           c.entry_id, c.contract_id
    FROM counted c
    JOIN limit_contract l ON l.contract_id = c.contract_id AND l.task_name IN (coalesce(c.task_name, ''), '')
        AND l.valid @> c.on_date
    WHERE l.kind <> 'order' OR l.task_name <> '' OR NOT EXISTS (
        SELECT FROM order_row o WHERE o.contract_id = c.contract_id AND o.task_name = c.task_name
          AND o.task_name <> '' AND o.valid @> c.on_date)
), limit_effect AS (
    -- Amounts of another currency are not added.
    SELECT l.limit_id, e.entry_id, CASE WHEN e.currency = l.currency THEN e.amount END AS amount,
           CASE WHEN e.part = 'capped' AND l.kind = 'cap' THEN 0 ELSE e.seconds END AS seconds
    FROM limit_contract l
    JOIN project p ON p.contract_id = l.contract_id
    CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.project_id = p.project_id OFFSET 0) e
    CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = e.verdict_id OFFSET 0) v
    LEFT JOIN task t ON t.task_id = v.task_id
    WHERE l.limit_id IN (SELECT limit_id FROM limit_asked)
      AND e.noun = 'time_line' AND e.kind = 'book' AND {stands} AND l.valid @> v.work_date
      AND l.task_name IN (coalesce(t.task_name, ''), '')
      AND (l.kind <> 'order' OR l.task_name <> '' OR NOT EXISTS (
          SELECT FROM order_row o WHERE o.contract_id = l.contract_id AND o.task_name = t.task_name
            AND o.task_name <> '' AND o.valid @> v.work_date))
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND {undone} OFFSET 0)
), limit_standing AS (
    SELECT limit_id, sum(amount) AS amount, sum(seconds) AS seconds FROM limit_effect GROUP BY limit_id
), own_standing AS (
    SELECT limit_id, entry_id, sum(amount) AS amount, sum(seconds) AS seconds
    FROM limit_effect GROUP BY limit_id, entry_id
), limit_use AS (
    -- What stands goes first, then by (work date, source identity), whatever the order of arrival; what was taken back
    -- to be booked anew keeps its place. Of an hour that changed counts what it comes to more than what stands of it
    -- under this very limit; who comes to no more takes nothing, and asks nobody for room.
    SELECT a.limit_id, a.kind, a.limit_amount, a.limit_seconds, c.entry_id,
           a.limit_amount IS NOT NULL AND a.limit_currency IS DISTINCT FROM c.currency AND c.amount IS NOT NULL
               AS is_foreign,
           o.amount AS own_amount, o.seconds AS own_seconds,
           coalesce(sum(CASE WHEN o.entry_id IS NULL THEN coalesce(d.amount, c.amount)
                             ELSE greatest(coalesce(d.amount, c.amount) - coalesce(o.amount, 0), 0) END)
                        FILTER (WHERE c.is_counted AND NOT c.is_posted_unchanged AND c.currency = a.limit_currency)
                        OVER queue, 0) AS before_amount,
           coalesce(sum(CASE WHEN o.entry_id IS NULL THEN c.seconds ELSE greatest(c.seconds - o.seconds, 0) END)
                        FILTER (WHERE c.is_counted AND NOT c.is_posted_unchanged) OVER queue, 0)::bigint AS before_seconds
    FROM limit_asked a
    JOIN counted c ON c.entry_id = a.entry_id
    LEFT JOIN own_standing o ON o.limit_id = a.limit_id AND o.entry_id = a.entry_id
    LEFT JOIN day_billed d ON d.entry_id = c.entry_id
    LEFT JOIN LATERAL ({returning}) r ON true
    WINDOW queue AS (
        PARTITION BY a.limit_id
        ORDER BY (r.is_returning OR CASE WHEN a.limit_seconds IS NULL THEN coalesce(d.amount, c.amount) <= o.amount
                                         ELSE c.seconds <= o.seconds END) IS NOT TRUE,
                 c.work_date, c.connection_key COLLATE "C", c.source_epoch, c.object COLLATE "C",
                 c.source_ref COLLATE "C"
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), limit_room AS (
    SELECT u.entry_id, u.kind, u.is_foreign,
           u.limit_amount - coalesce(s.amount, 0) + coalesce(u.own_amount, 0) - u.before_amount AS left_amount,
           u.limit_seconds - coalesce(s.seconds, 0) + coalesce(u.own_seconds, 0) - u.before_seconds AS left_seconds
    FROM limit_use u
    LEFT JOIN limit_standing s ON s.limit_id = u.limit_id
), limit_left AS (
    SELECT entry_id,
           min(left_amount) FILTER (WHERE kind = 'cap' AND NOT is_foreign) AS cap_left_amount,
           min(left_seconds) FILTER (WHERE kind = 'cap') AS cap_left_seconds,
           min(left_amount) FILTER (WHERE kind = 'funding' AND NOT is_foreign) AS funding_left_amount,
           min(left_seconds) FILTER (WHERE kind = 'funding') AS funding_left_seconds,
           min(left_amount) FILTER (WHERE kind = 'budget' AND NOT is_foreign) AS budget_left_amount,
           min(left_seconds) FILTER (WHERE kind = 'budget') AS budget_left_seconds,
           min(left_amount) FILTER (WHERE kind = 'retainer' AND NOT is_foreign) AS retainer_left_amount,
           min(left_seconds) FILTER (WHERE kind = 'retainer') AS retainer_left_seconds,
           min(left_amount) FILTER (WHERE kind = 'order' AND NOT is_foreign) AS purchase_order_left_amount,
           count(*) FILTER (WHERE is_foreign) AS limit_foreign_count
    FROM limit_room GROUP BY entry_id
), transfer_told AS (
    SELECT DISTINCT home_entity_code FROM transfer_price WHERE recorded_at <= %(known_at)s
), transfer_fact AS (
    -- The price of the category beats that of everybody; NULL where the home company told no price at all.
    SELECT DISTINCT ON (d.home_entity_code, d.entity_code, d.labor_category, d.on_date)
           d.home_entity_code, d.entity_code, d.labor_category, d.on_date, t.transfer_price_id, t.price_amount,
           t.currency
    FROM (SELECT DISTINCT home_entity_code, entity_code, coalesce(labor_category, '') AS labor_category, on_date
          FROM staffed WHERE home_entity_code <> entity_code AND EXISTS (SELECT FROM transfer_price)) d
    JOIN transfer_price t ON t.home_entity_code = d.home_entity_code AND t.project_entity_code = d.entity_code
        AND t.labor_category IN (d.labor_category, '') AND daterange(t.starts_on, t.ends_on) @> d.on_date
        AND t.recorded_at <= %(known_at)s AND (t.superseded_at IS NULL OR t.superseded_at > %(known_at)s)
    ORDER BY d.home_entity_code, d.entity_code, d.labor_category, d.on_date, t.labor_category = ''
), treatment_fact AS (
    SELECT d.entity_code, d.client_id, d.tax_treatment, d.on_date, count(t.tax_treatment_id) AS treatment_count
    FROM (SELECT DISTINCT entity_code, client_id, tax_treatment, client_country_code, on_date FROM placed
          WHERE entity_code IN (SELECT entity_code FROM tax_treatment)) d
    LEFT JOIN tax_treatment t ON t.entity_code = d.entity_code AND t.treatment = d.tax_treatment
        AND t.country_code IN (coalesce(d.client_country_code, ''), '')
        AND daterange(t.starts_on, t.ends_on) @> d.on_date
        AND t.recorded_at <= %(known_at)s AND (t.superseded_at IS NULL OR t.superseded_at > %(known_at)s)
    GROUP BY d.entity_code, d.client_id, d.tax_treatment, d.on_date
), account_fact AS (
    SELECT DISTINCT ON (d.entity_code, d.practice, d.on_date)
           d.entity_code, d.practice, d.on_date, coalesce(a.is_enabled, false) AS has_revenue_account
    FROM (SELECT DISTINCT entity_code, coalesce(practice, '') AS practice, on_date FROM placed
          WHERE entity_code IN (SELECT entity_code FROM revenue_account)) d
    LEFT JOIN revenue_account a ON a.entity_code = d.entity_code AND a.practice IN (d.practice, '')
        AND daterange(a.starts_on, a.ends_on) @> d.on_date
        AND a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s)
    ORDER BY d.entity_code, d.practice, d.on_date, a.practice = ''
), home_period AS (
    SELECT d.home_entity_code, d.work_date, w.state
    FROM (SELECT DISTINCT home_entity_code, work_date FROM staffed
          WHERE home_entity_code <> entity_code AND work_date IS NOT NULL) d
    JOIN period_fact w ON w.entity_code = d.home_entity_code AND d.work_date >= w.starts_on AND d.work_date < w.ends_on
), assigned_rate AS (
    -- What the role costs in which the person is assigned, where the hour names another.
    SELECT DISTINCT ON (d.contract_id, d.task_name, d.assigned_category, d.on_date)
           d.contract_id, d.task_name, d.assigned_category, d.on_date, l.rate_amount AS assigned_rate_amount
    FROM (SELECT DISTINCT contract_id, coalesce(task_name, '') AS task_name, assigned_category, on_date FROM staffed
          WHERE contract_id IS NOT NULL AND entry_labor_category <> assigned_category) d
    JOIN contract_line l ON l.contract_id = d.contract_id AND l.labor_category = d.assigned_category
        AND l.task_name IN (d.task_name, '') AND daterange(l.starts_on, l.ends_on) @> d.on_date
        AND l.recorded_at <= %(known_at)s AND (l.superseded_at IS NULL OR l.superseded_at > %(known_at)s)
    ORDER BY d.contract_id, d.task_name, d.assigned_category, d.on_date, l.task_name = ''
)
