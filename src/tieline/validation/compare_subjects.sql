-- The hours of some days, and whoever shares a scarce amount with one of them: what is left for one hour depends on
-- every hour before it. Nothing is looked up where nothing is scarce. A contract that a draft names is one of them,
-- whatever stood before.
WITH day_entry AS MATERIALIZED (
    SELECT w.entry_id, t.verdict_id
    FROM time_entry_version w JOIN time_entry t ON t.entry_id = w.entry_id
    WHERE w.is_newest AND w.work_date >= %(first_on)s AND w.work_date < %(beyond_on)s
), owner AS (
    SELECT k.contract_id, coalesce(n.redirect_to, n.client_id) AS client_id
    FROM contract k JOIN client n ON n.client_id = k.client_id
), limited AS (
    SELECT contract_id FROM contract_version WHERE cap_amount IS NOT NULL
    UNION SELECT contract_id FROM spending_limit WHERE contract_id IS NOT NULL
    UNION SELECT contract_id FROM purchase_order
    UNION SELECT w.contract_id FROM spending_limit l JOIN client o USING (client_id)
    JOIN owner w ON w.client_id = coalesce(o.redirect_to, o.client_id)
), touched AS (
    SELECT DISTINCT v.contract_id FROM day_entry d JOIN verdict v ON v.verdict_id = d.verdict_id
    WHERE EXISTS (SELECT FROM limited)
    UNION SELECT unnest(%(contract_ids)s::uuid[])
), shared AS (
    -- Whoever shares the limit of a client works for any of its contracts.
    SELECT DISTINCT 'contract:' || o.contract_id AS neighbor_key
    FROM touched x JOIN limited USING (contract_id)
    JOIN owner w ON w.contract_id = x.contract_id
    JOIN owner o ON o.contract_id = w.contract_id
        OR (o.client_id = w.client_id AND o.client_id IN (
            SELECT coalesce(n.redirect_to, n.client_id) FROM spending_limit l JOIN client n USING (client_id)))
)
SELECT entry_id FROM day_entry
UNION
SELECT v.entry_id FROM shared k
CROSS JOIN LATERAL (SELECT v.verdict_id, v.entry_id FROM verdict v
                    WHERE v.neighbor_keys @> ARRAY[k.neighbor_key] OFFSET 0) v
JOIN time_entry t ON t.entry_id = v.entry_id AND t.verdict_id = v.verdict_id
WHERE NOT EXISTS (SELECT FROM standing_effect s WHERE s.entry_id = v.entry_id)
