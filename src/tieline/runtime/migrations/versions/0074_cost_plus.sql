-- By how much a line of a cost-plus contract is more than what the person costs; unknown on every other line.
ALTER TABLE contract_line ADD COLUMN markup_percent numeric CHECK (markup_percent >= 0 AND markup_percent < 'Infinity');
CREATE INDEX contract_line_marked_up ON contract_line (contract_id) WHERE markup_percent IS NOT NULL;
CREATE INDEX contract_version_cost_plus ON contract_version (contract_id) WHERE billing_method = 'cost_plus';

-- Every row that is there satisfies it: none is read.
ALTER TABLE verdict DROP CONSTRAINT verdict_rate_level_check;
ALTER TABLE verdict ADD CONSTRAINT verdict_rate_level_check
    CHECK (rate_level IN ('person', 'client', 'practice', 'list', 'cost')) NOT VALID;

-- Hours of contracts that stand in a target and may be worth something else by now, though their source says the same:
-- since they were judged, a rate of the person, what the person costs where that is what is billed, a card of client,
-- practice or list, a rate of exchange, the terms of billing or what the contract itself says of prices was added or
-- ended for their day. Whether they are worth something else the judge decides; here only whom to ask, in sets and
-- from what changed.
CREATE OR REPLACE FUNCTION repriced_hours(keys text[]) RETURNS TABLE (entry_id uuid)
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
               v.practice, v.currency, v.rate_card, v.billing_method, v.recorded_at,
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
        SELECT t.contract_id, NULL::uuid, coalesce(g.redirect_to, g.person_id), NULL, false,
               daterange(r.starts_on, r.ends_on), greatest(r.recorded_at, r.superseded_at)
        FROM (SELECT DISTINCT contract_id FROM told WHERE billing_method = 'cost_plus') t
        CROSS JOIN employment r JOIN person g USING (person_id)
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

-- What a person costs asks for the contracts that bill it, as every rate does.
CREATE FUNCTION cost_rates_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT v.contract_id FROM contract_version v
            WHERE v.billing_method = 'cost_plus' AND v.superseded_at IS NULL
              AND (v.allows_unassigned_time OR EXISTS (
                   SELECT FROM project p JOIN assignment a USING (project_id) JOIN person o USING (person_id)
                   JOIN person g ON coalesce(g.redirect_to, g.person_id) = coalesce(o.redirect_to, o.person_id)
                   JOIN changed c ON c.person_id = g.person_id
                   WHERE p.contract_id = v.contract_id)))), 'rates.changed',
        (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE TRIGGER employment_reprices_insert AFTER INSERT ON employment REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION cost_rates_changed();
CREATE TRIGGER employment_reprices_update AFTER UPDATE ON employment REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION cost_rates_changed();
