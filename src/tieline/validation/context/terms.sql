person_rate_fact AS (
    -- What a person costs on a project beats every card. Nothing is looked for where nothing was told.
    SELECT d.person_id, d.project_id, d.on_date, count(*) AS rate_count,
           CASE WHEN count(*) = 1 THEN (array_agg(r.person_rate_id))[1] END AS rate_ref,
           CASE WHEN count(*) = 1 THEN min(r.rate_amount) END AS told_amount,
           CASE WHEN count(*) = 1 THEN min(r.currency) END AS told_currency, min(d.contract_currency) AS currency
    FROM (SELECT DISTINCT person_id, project_id, contract_currency, on_date FROM staffed
          WHERE person_id IS NOT NULL AND contract_id IS NOT NULL AND EXISTS (SELECT FROM person_rate)) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN person_rate r ON r.person_id = o.alias_id AND r.project_id = d.project_id
        AND daterange(r.starts_on, r.ends_on) @> d.on_date
        AND r.recorded_at <= %(known_at)s AND (r.superseded_at IS NULL OR r.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.project_id, d.on_date
), card_ask AS (
    SELECT DISTINCT s.contract_id, coalesce(s.labor_category, '') AS labor_category, s.client_id, s.entity_code,
           s.contract_currency, s.practice, s.rate_card, s.on_date
    FROM staffed s
    WHERE s.contract_id IS NOT NULL
      AND (EXISTS (SELECT FROM client_rate) OR EXISTS (SELECT FROM practice_rate) OR EXISTS (SELECT FROM list_rate))
), card_offer AS (
    SELECT d.contract_id, d.labor_category, d.on_date, d.contract_currency, 'client' AS rate_level, 1 AS rank,
           0 AS distance, r.card_code, r.client_rate_id AS rate_ref, r.labor_category AS told_category,
           r.rate_amount, r.currency, d.rate_card
    FROM card_ask d
    JOIN client l ON coalesce(l.redirect_to, l.client_id) = d.client_id
    JOIN client_rate r ON r.client_id = l.client_id AND r.labor_category IN (d.labor_category, '')
        AND daterange(r.starts_on, r.ends_on) @> d.on_date
        AND r.recorded_at <= %(known_at)s AND (r.superseded_at IS NULL OR r.superseded_at > %(known_at)s)
    UNION ALL
    SELECT d.contract_id, d.labor_category, d.on_date, d.contract_currency, 'practice', 2, 0, r.card_code,
           r.practice_rate_id, r.labor_category, r.rate_amount, r.currency, d.rate_card
    FROM card_ask d
    JOIN practice_rate r ON r.practice = d.practice AND r.labor_category IN (d.labor_category, '')
        AND daterange(r.starts_on, r.ends_on) @> d.on_date
        AND r.recorded_at <= %(known_at)s AND (r.superseded_at IS NULL OR r.superseded_at > %(known_at)s)
    UNION ALL
    SELECT d.contract_id, d.labor_category, d.on_date, d.contract_currency, 'list', 3, (r.entity_code = '')::int,
           r.card_code, r.list_rate_id, r.labor_category, r.rate_amount, r.currency, d.rate_card
    FROM card_ask d
    JOIN list_rate r ON r.entity_code IN (d.entity_code, '') AND r.labor_category IN (d.labor_category, '')
        AND daterange(r.starts_on, r.ends_on) @> d.on_date
        AND r.recorded_at <= %(known_at)s AND (r.superseded_at IS NULL OR r.superseded_at > %(known_at)s)
), card_fact AS (
    -- Of one step: the card that the contract names, the category, the entity, the contract's own currency.
    SELECT DISTINCT ON (contract_id, labor_category, on_date)
           contract_id, labor_category, on_date, rate_level, rate_count, rate_ref, told_amount, told_currency,
           currency
    FROM (
        SELECT contract_id, labor_category, on_date, rate_level, rank, card_code IS DISTINCT FROM rate_card AS is_other,
               (told_category <> labor_category)::int AS is_wide, distance,
               currency <> contract_currency AS is_foreign, count(*) AS rate_count,
               CASE WHEN count(*) = 1 THEN (array_agg(rate_ref))[1] END AS rate_ref,
               CASE WHEN count(*) = 1 THEN min(rate_amount) END AS told_amount,
               CASE WHEN count(*) = 1 THEN min(currency) END AS told_currency,
               min(contract_currency) AS currency
        FROM card_offer
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
    ) ranked
    ORDER BY contract_id, labor_category, on_date, rank, is_other, is_wide, distance, is_foreign
), cost_fact AS (
    -- What a person costs at the company that employs them, in its currency: what a cost-plus contract bills.
    SELECT d.person_id, d.contract_currency AS currency, d.on_date, count(DISTINCT e.cost_rate) AS rate_count,
           (array_agg(e.employment_id ORDER BY e.employment_id))[1] AS rate_ref,
           CASE WHEN count(DISTINCT e.cost_rate) = 1 THEN min(e.cost_rate) END AS told_amount,
           min(n.currency) AS told_currency
    FROM (SELECT DISTINCT person_id, home_entity_code, contract_currency, on_date FROM staffed
          WHERE billing_method = 'cost_plus' AND person_id IS NOT NULL) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN employment e ON e.person_id = o.alias_id AND e.entity_code = d.home_entity_code AND e.is_home
        AND e.cost_rate IS NOT NULL AND daterange(e.starts_on, e.ends_on) @> d.on_date
        AND e.recorded_at <= %(known_at)s AND (e.superseded_at IS NULL OR e.superseded_at > %(known_at)s)
    JOIN legal_entity n ON n.entity_code = d.home_entity_code
    GROUP BY d.person_id, d.contract_currency, d.on_date
), fx_fact AS (
    SELECT d.told_currency, d.currency, d.on_date, count(*) AS fx_count,
           CASE WHEN count(*) = 1 THEN (array_agg(x.fx_rate_id))[1] END AS fx_rate_id,
           CASE WHEN count(*) = 1 THEN min(x.factor) END AS factor
    FROM (SELECT told_currency, currency, on_date FROM person_rate_fact WHERE told_currency <> currency
          UNION SELECT told_currency, currency, on_date FROM card_fact WHERE told_currency <> currency
          UNION SELECT told_currency, currency, on_date FROM cost_fact WHERE told_currency <> currency) d
    JOIN fx_rate x ON x.from_currency = d.told_currency AND x.to_currency = d.currency
        AND daterange(x.starts_on, x.ends_on) @> d.on_date
        AND x.recorded_at <= %(known_at)s AND (x.superseded_at IS NULL OR x.superseded_at > %(known_at)s)
    GROUP BY d.told_currency, d.currency, d.on_date
), person_price AS (
    SELECT p.*, x.fx_rate_id, coalesce(x.fx_count, 0) AS fx_count,
           CASE WHEN p.told_currency = p.currency THEN p.told_amount ELSE p.told_amount * x.factor END AS rate_amount
    FROM person_rate_fact p LEFT JOIN fx_fact x USING (told_currency, currency, on_date)
), card_price AS (
    SELECT p.*, x.fx_rate_id, coalesce(x.fx_count, 0) AS fx_count,
           CASE WHEN p.told_currency = p.currency THEN p.told_amount ELSE p.told_amount * x.factor END AS rate_amount
    FROM card_fact p LEFT JOIN fx_fact x USING (told_currency, currency, on_date)
), cost_price AS (
    SELECT p.*, x.fx_rate_id, coalesce(x.fx_count, 0) AS fx_count,
           CASE WHEN p.told_currency = p.currency THEN p.told_amount ELSE p.told_amount * x.factor END AS rate_amount
    FROM cost_fact p LEFT JOIN fx_fact x USING (told_currency, currency, on_date)
), billing_fact AS (
    SELECT d.contract_id, d.on_date, t.billing_terms_id, t.increment_seconds, t.rounding, t.rounds_per,
           t.minimum_seconds
    FROM (SELECT DISTINCT contract_id, on_date FROM placed
          WHERE contract_id IS NOT NULL AND EXISTS (SELECT FROM billing_terms)) d
    JOIN billing_terms t ON t.contract_id = d.contract_id AND daterange(t.starts_on, t.ends_on) @> d.on_date
        AND t.recorded_at <= %(known_at)s AND (t.superseded_at IS NULL OR t.superseded_at > %(known_at)s)
), bound_fact AS (
    -- A bound of the category beats one of every category; of clients that were merged each bound holds.
    SELECT DISTINCT ON (d.contract_id, d.labor_category, d.on_date)
           d.contract_id, d.labor_category, d.on_date, max(b.rate_min) AS rate_min, min(b.rate_max) AS rate_max
    FROM (SELECT DISTINCT contract_id, coalesce(labor_category, '') AS labor_category, client_id,
                 contract_currency, on_date
          FROM staffed WHERE contract_id IS NOT NULL AND EXISTS (SELECT FROM rate_bound)) d
    JOIN client l ON coalesce(l.redirect_to, l.client_id) = d.client_id
    JOIN rate_bound b ON b.client_id = l.client_id AND b.labor_category IN (d.labor_category, '')
        AND b.currency = d.contract_currency AND daterange(b.starts_on, b.ends_on) @> d.on_date
        AND b.recorded_at <= %(known_at)s AND (b.superseded_at IS NULL OR b.superseded_at > %(known_at)s)
    GROUP BY d.contract_id, d.labor_category, d.on_date, b.labor_category
    ORDER BY d.contract_id, d.labor_category, d.on_date, b.labor_category = ''
)
