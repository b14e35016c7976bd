-- Steps of a statement: what each project came to at an instant, by what was known then. Hours earn their rate; a fixed
-- fee is earned as the firm says, by sold hours, by cost, or evenly over the contract; what has a schedule is earned by
-- it: a milestone when it is confirmed, a part that covers days evenly over them. What nobody can tell is unknown.
project_at AS (
    SELECT j.project_id, j.project_code, j.entity_code, j.contract_id, c.contract_code,
           coalesce(o.redirect_to, o.client_id) AS client_id, v.practice, v.currency, v.billing_method, v.value_amount,
           v.cap_amount, v.starts_on, v.ends_on, currency_digits(v.currency) AS digits,
           timezone(l.zone, %(at)s::timestamptz)::date AS on_day,
           count(*) OVER (PARTITION BY j.contract_id) AS projects,
           row_number() OVER (PARTITION BY j.contract_id ORDER BY j.project_code) = 1 AS is_first,
           coalesce(s.parts, 0) > 0 AS has_schedule,
           CASE WHEN v.billing_method IN ('milestone', 'retainer', 'subscription') THEN 'schedule'
                WHEN v.billing_method <> 'fixed_fee' OR v.value_amount IS NULL THEN 'delivered'
                ELSE policy_word((SELECT r.release_id FROM release r WHERE r.state IN ('current', 'superseded')
                                    AND r.approved_at <= %(at)s ORDER BY r.approved_at DESC, r.release_id DESC LIMIT 1),
                                 'recognition_of_fixed_fee', j.entity_code, 'hours') END AS recognition
    FROM project j
    JOIN contract c USING (contract_id)
    JOIN client o ON o.client_id = c.client_id
    JOIN legal_entity l ON l.entity_code = j.entity_code
    JOIN contract_version v ON v.contract_id = j.contract_id AND v.recorded_at <= %(at)s
         AND (v.superseded_at IS NULL OR v.superseded_at > %(at)s)
    LEFT JOIN (SELECT contract_code, count(*) AS parts FROM billing_schedule
               WHERE recorded_at <= %(at)s AND (superseded_at IS NULL OR superseded_at > %(at)s)
               GROUP BY contract_code) s USING (contract_code)
), taken AS (
    -- What stood on an invoice at the instant, also where a credit note gave it back since.
    SELECT l.business_key FROM invoice_ledger_line l JOIN invoice_record i USING (invoice_id) WHERE i.recorded_at <= %(at)s
    UNION
    SELECT k.business_key FROM invoice_line_credited k JOIN invoice_record i USING (invoice_id)
    WHERE i.recorded_at <= %(at)s AND k.recorded_at > %(at)s
), posted AS (
    SELECT l.project_id, sum(l.seconds)::bigint AS seconds, sum(l.target_seconds)::bigint AS target_seconds,
           coalesce(sum(l.amount) FILTER (WHERE l.is_billable), 0) AS worked,
           coalesce(sum(l.amount) FILTER (WHERE l.is_billable AND i.business_key IS NULL), 0) AS unbilled
    FROM ledger_line l LEFT JOIN taken i USING (business_key)
    WHERE l.booked_at <= %(at)s
    GROUP BY l.project_id
), billed AS (
    SELECT project_id, sum(untaxed_amount) AS amount, sum(ledger_amount) AS ledger_amount,
           sum(expected_amount - ledger_amount) AS rounding_amount, sum(mismatch_amount) AS mismatch_amount
    FROM invoice_record WHERE recorded_at <= %(at)s GROUP BY project_id
), sold AS (
    SELECT contract_id, sum(sold_seconds * rate_amount / 3600) AS amount, sum(sold_seconds) AS seconds
    FROM contract_line WHERE recorded_at <= %(at)s AND (superseded_at IS NULL OR superseded_at > %(at)s)
    GROUP BY contract_id
), part AS (
    SELECT p.contract_id, sum(w.amount) AS agreed, sum(CASE
               WHEN s.kind = 'milestone' THEN CASE WHEN s.confirmed_on <= p.on_day THEN w.amount ELSE 0 END
               WHEN s.covers_from IS NULL THEN CASE WHEN s.due_on <= p.on_day THEN w.amount ELSE 0 END
               WHEN w.until_on <= w.from_on THEN 0
               ELSE round(w.amount * greatest(least(p.on_day, w.until_on) - w.from_on, 0) / (w.until_on - w.from_on), p.digits)
           END) AS earned
    FROM project_at p
    JOIN billing_schedule s ON s.contract_code = p.contract_code AND daterange(s.starts_on, s.ends_on) @> p.on_day
         AND s.recorded_at <= %(at)s AND (s.superseded_at IS NULL OR s.superseded_at > %(at)s)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN s.is_prorated THEN greatest(p.starts_on, s.covers_from) ELSE s.covers_from END AS from_on,
               CASE WHEN s.is_prorated THEN least(p.ends_on, s.covers_until) ELSE s.covers_until END AS until_on,
               CASE WHEN s.is_prorated THEN round(s.amount
                   * greatest(least(p.ends_on, s.covers_until) - greatest(p.starts_on, s.covers_from), 0)
                   / (s.covers_until - s.covers_from), p.digits) ELSE s.amount END AS amount) w
    WHERE p.is_first GROUP BY p.contract_id
), above AS (
    SELECT contract_id, sum(amount) AS amount FROM billed_item
    WHERE item_code <> item AND recorded_at <= %(at)s GROUP BY contract_id
), funding AS (
    SELECT s.contract_id, sum(s.amount) AS amount FROM spending_limit s JOIN project_at p USING (contract_id)
    WHERE p.is_first AND s.kind = 'funding' AND s.task_name = '' AND s.currency = p.currency
      AND daterange(s.starts_on, s.ends_on) @> p.on_day
      AND s.recorded_at <= %(at)s AND (s.superseded_at IS NULL OR s.superseded_at > %(at)s)
    GROUP BY s.contract_id
), price AS (
    -- What an hour of somebody costs: of one home company alone, in its currency.
    SELECT e.person_id, e.cost_rate, l.currency, daterange(e.starts_on, e.ends_on) AS valid
    FROM employment e JOIN legal_entity l USING (entity_code)
    WHERE e.is_home AND e.recorded_at <= %(at)s AND (e.superseded_at IS NULL OR e.superseded_at > %(at)s)
), exchange AS (
    SELECT from_currency, to_currency, factor, daterange(starts_on, ends_on) AS valid,
           format('1 %%s = %%s %%s from %%s, %%s', from_currency, trim_scale(factor), to_currency, starts_on, source) AS told
    FROM fx_rate WHERE recorded_at <= %(at)s AND (superseded_at IS NULL OR superseded_at > %(at)s)
), day_to_price AS (
    -- A day of work as it was booked; and, where a fee is earned by cost, the work that is planned for somebody.
    SELECT l.project_id, l.person_id, l.work_date AS on_date, p.currency, sum(l.seconds) AS seconds, false AS is_planned
    FROM ledger_line l JOIN project_at p USING (project_id)
    WHERE l.booked_at <= %(at)s AND (%(with_cost)s OR p.recognition = 'cost')
    GROUP BY l.project_id, l.person_id, l.work_date, p.currency HAVING sum(l.seconds) <> 0
    UNION ALL
    SELECT a.project_id, a.person_id, a.starts_on, p.currency, a.planned_seconds, true
    FROM assignment a JOIN project_at p USING (project_id)
    WHERE p.recognition = 'cost' AND a.recorded_at <= %(at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(at)s)
), priced_day AS (
    SELECT d.project_id, d.is_planned, d.seconds * x.cost_rate
               * CASE WHEN x.currency = d.currency THEN 1 ELSE f.factor END / 3600 AS amount,
           CASE WHEN x.currency <> d.currency THEN f.told END AS rate
    FROM day_to_price d
    LEFT JOIN LATERAL (
        SELECT CASE WHEN count(*) = 1 THEN min(r.cost_rate) END AS cost_rate, min(r.currency) AS currency
        FROM price r WHERE r.person_id = d.person_id AND r.valid @> d.on_date) x ON true
    LEFT JOIN LATERAL (
        SELECT CASE WHEN count(*) = 1 THEN min(e.factor) END AS factor, min(e.told) AS told
        FROM exchange e WHERE e.from_currency = x.currency AND e.to_currency = d.currency AND e.valid @> d.on_date) f ON true
), cost AS (
    SELECT project_id, CASE WHEN bool_and(amount IS NOT NULL) THEN sum(amount) END AS amount,
           array_agg(DISTINCT rate ORDER BY rate) FILTER (WHERE rate IS NOT NULL) AS rates
    FROM priced_day WHERE NOT is_planned GROUP BY project_id
), planned AS (
    SELECT p.contract_id, CASE WHEN bool_and(d.amount IS NOT NULL) THEN sum(d.amount) END AS amount
    FROM priced_day d JOIN project_at p USING (project_id) WHERE d.is_planned GROUP BY p.contract_id
), measured AS (
    SELECT p.*, coalesce(t.seconds, 0) AS seconds, coalesce(t.target_seconds, 0) AS target_seconds,
           coalesce(t.worked, 0) AS worked, coalesce(t.unbilled, 0) AS unbilled, coalesce(b.amount, 0) AS billed,
           coalesce(b.ledger_amount, 0) AS ledger_billed, coalesce(b.rounding_amount, 0) AS rounding,
           coalesce(b.mismatch_amount, 0) AS mismatch, o.seconds AS sold_seconds, f.amount AS funding,
           round(k.amount, p.digits) AS cost, k.rates, n.amount AS planned_cost,
           round(coalesce(p.cap_amount, p.value_amount, CASE WHEN p.recognition = 'schedule' THEN s.agreed END, o.amount),
                 p.digits) AS whole_amount,
           CASE WHEN p.is_first THEN coalesce(s.earned, 0) + coalesce(a.amount, 0) ELSE 0 END AS by_schedule
    FROM project_at p
    LEFT JOIN sold o USING (contract_id)
    LEFT JOIN posted t USING (project_id)
    LEFT JOIN billed b USING (project_id)
    LEFT JOIN part s USING (contract_id)
    LEFT JOIN above a USING (contract_id)
    LEFT JOIN funding f USING (contract_id)
    LEFT JOIN cost k USING (project_id)
    LEFT JOIN planned n USING (contract_id)
), earning AS (
    SELECT m.*, CASE recognition
        WHEN 'delivered' THEN worked
        WHEN 'schedule' THEN by_schedule
        WHEN 'milestone' THEN CASE WHEN has_schedule THEN by_schedule END
        WHEN 'straight_line' THEN CASE WHEN ends_on > starts_on THEN CASE WHEN is_first THEN round(value_amount
            * greatest(least(on_day, ends_on) - starts_on, 0) / (ends_on - starts_on), digits) ELSE 0 END END
        WHEN 'cost' THEN CASE WHEN seconds = 0 THEN 0 WHEN planned_cost > 0 AND cost IS NOT NULL
            THEN round(value_amount * least(cost / planned_cost, 1), digits) END
        ELSE CASE WHEN coalesce(sold_seconds, 0) > 0
            THEN round(value_amount * least(seconds::numeric / sold_seconds, 1), digits)
            ELSE least(worked, value_amount) END END AS earned
    FROM measured m
-- The greatest or least of something unknown is not unknown: each is asked for first.
), weighed AS (
    -- What a contract is worth is not divided among its projects: it is known of one that is all of it.
    SELECT e.*, CASE WHEN projects = 1 THEN whole_amount END AS contract_amount FROM earning e
), figures AS (
    SELECT e.*, CASE WHEN recognition = 'delivered' THEN unbilled WHEN earned IS NOT NULL THEN greatest(earned - billed, 0) END AS wip,
           CASE WHEN recognition = 'delivered' THEN 0 WHEN earned IS NOT NULL THEN greatest(billed - earned, 0) END AS deferred,
           CASE WHEN earned IS NOT NULL AND contract_amount IS NOT NULL THEN greatest(contract_amount - earned, 0) END AS backlog,
           CASE WHEN earned IS NOT NULL AND contract_amount IS NOT NULL AND funding IS NOT NULL
               THEN greatest(least(contract_amount, funding) - earned, 0) END AS funded
    FROM weighed e
)
