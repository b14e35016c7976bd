-- Hours of contracts that stand in a target and may be worth something else by now, though their source says the same:
-- since they were judged, a rate of the person, a card of client, practice or list, a rate of exchange, the terms of
-- billing or what the contract itself says of prices was added or ended for their day. Whether they are worth
-- something else the judge decides; here only whom to ask, in sets and from what changed.
CREATE FUNCTION repriced_hours(keys text[]) RETURNS TABLE (entry_id uuid)
LANGUAGE plpgsql STABLE SET search_path = tieline, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    asked uuid[] := ARRAY(SELECT substr(k, 10)::uuid FROM unnest(keys) k WHERE k LIKE 'contract:%');
BEGIN
    -- Most judgements are of new hours: they ask for no contract.
    IF cardinality(asked) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH told AS MATERIALIZED (
        SELECT k.contract_id, k.entity_code, coalesce(l.redirect_to, l.client_id) AS client_id,
               v.practice, v.currency, v.rate_card, v.recorded_at,
               lag(ROW(v.practice, v.currency, v.rate_card)) OVER w IS DISTINCT FROM ROW(v.practice, v.currency, v.rate_card)
                   AND lag(v.recorded_at) OVER w IS NOT NULL AS is_priced_otherwise
        FROM contract k
        JOIN client l USING (client_id)
        JOIN contract_version v USING (contract_id)
        WHERE k.contract_id = ANY (asked)
        WINDOW w AS (PARTITION BY k.contract_id ORDER BY v.recorded_at)
    ), moved AS MATERIALIZED (
        -- is_card: what only decides where no line of the contract does.
        SELECT p.contract_id, r.project_id, coalesce(g.redirect_to, g.person_id) AS person_id, NULL AS labor_category,
               false AS is_card, daterange(r.starts_on, r.ends_on) AS valid,
               greatest(r.recorded_at, r.superseded_at) AS changed_at
        FROM project p JOIN person_rate r USING (project_id) JOIN person g USING (person_id)
        WHERE p.contract_id = ANY (asked)
        UNION ALL
        SELECT DISTINCT t.contract_id, NULL::uuid, NULL::uuid, nullif(r.labor_category, ''), true,
               daterange(r.starts_on, r.ends_on), greatest(r.recorded_at, r.superseded_at)
        FROM told t
        JOIN client n ON coalesce(n.redirect_to, n.client_id) = t.client_id
        JOIN client_rate r ON r.client_id = n.client_id
        UNION ALL
        SELECT DISTINCT t.contract_id, NULL::uuid, NULL::uuid, nullif(r.labor_category, ''), true,
               daterange(r.starts_on, r.ends_on), greatest(r.recorded_at, r.superseded_at)
        FROM told t JOIN practice_rate r ON r.practice = t.practice
        UNION ALL
        SELECT DISTINCT t.contract_id, NULL::uuid, NULL::uuid, nullif(r.labor_category, ''), true,
               daterange(r.starts_on, r.ends_on), greatest(r.recorded_at, r.superseded_at)
        FROM told t JOIN list_rate r ON r.entity_code IN (t.entity_code, '')
        UNION ALL
        SELECT DISTINCT t.contract_id, NULL::uuid, NULL::uuid, NULL, true, daterange(r.starts_on, r.ends_on),
               greatest(r.recorded_at, r.superseded_at)
        FROM told t JOIN fx_rate r ON r.to_currency = t.currency
        UNION ALL
        SELECT r.contract_id, NULL::uuid, NULL::uuid, NULL, false, daterange(r.starts_on, r.ends_on),
               greatest(r.recorded_at, r.superseded_at)
        FROM billing_terms r WHERE r.contract_id = ANY (asked)
        UNION ALL
        SELECT t.contract_id, NULL::uuid, NULL::uuid, NULL, true, daterange(NULL, NULL), t.recorded_at
        FROM told t WHERE t.is_priced_otherwise
    )
    SELECT DISTINCT v.entry_id
    FROM (SELECT contract_id, max(changed_at) AS changed_at FROM moved GROUP BY contract_id) c
    CROSS JOIN LATERAL (SELECT v.* FROM verdict v WHERE v.neighbor_keys @> ARRAY['contract:' || c.contract_id]
                        AND v.known_at < c.changed_at OFFSET 0) v
    CROSS JOIN LATERAL (SELECT FROM time_entry t WHERE t.entry_id = v.entry_id AND t.verdict_id = v.verdict_id
                        OFFSET 0) t
    JOIN moved m ON m.contract_id = c.contract_id AND m.changed_at > v.known_at AND m.valid @> v.work_date
        AND (m.project_id IS NULL OR m.project_id = v.project_id)
        AND (m.person_id IS NULL OR m.person_id = v.person_id)
        AND (m.labor_category IS NULL OR m.labor_category = v.labor_category)
        -- A price of a person was a person's, or becomes one; a line of the contract beats every card.
        AND (NOT m.is_card OR v.rate_level IS NOT NULL);
END $$;
REVOKE ALL ON FUNCTION repriced_hours(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION repriced_hours(text[]) TO tieline_worker;

-- A rate of a person asks for the contract, as every other rate does: by the project alone no posted hour is found.
CREATE OR REPLACE FUNCTION person_rates_changed() RETURNS trigger LANGUAGE plpgsql
SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT DISTINCT p.contract_id FROM changed c JOIN project p USING (project_id))), 'rates.changed',
        (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
