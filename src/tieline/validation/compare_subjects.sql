-- The hours of some days, and whoever shares a scarce amount with one of them: what is left for one hour depends on
-- every hour before it. Nothing is looked up where nothing is scarce.
WITH day_entry AS MATERIALIZED (
    SELECT w.entry_id, t.verdict_id
    FROM time_entry_version w JOIN time_entry t ON t.entry_id = w.entry_id
    WHERE w.is_newest AND w.work_date >= %(first_on)s AND w.work_date < %(beyond_on)s
), limited AS (
    SELECT contract_id FROM contract_version WHERE cap_amount IS NOT NULL
    UNION SELECT contract_id FROM spending_limit WHERE contract_id IS NOT NULL
    UNION SELECT contract_id FROM purchase_order
), limited_client AS (
    SELECT client_id FROM spending_limit WHERE client_id IS NOT NULL
), shared AS (
    SELECT DISTINCT 'cap:' || v.contract_id AS neighbor_key
    FROM day_entry d JOIN verdict v ON v.verdict_id = d.verdict_id
    WHERE EXISTS (SELECT FROM limited) AND v.contract_id IN (SELECT contract_id FROM limited)
    UNION
    SELECT DISTINCT 'client-cap:' || v.client_id
    FROM day_entry d JOIN verdict v ON v.verdict_id = d.verdict_id
    WHERE EXISTS (SELECT FROM limited_client) AND v.client_id IN (SELECT client_id FROM limited_client)
)
SELECT entry_id FROM day_entry
UNION
SELECT v.entry_id FROM shared k
CROSS JOIN LATERAL (SELECT v.verdict_id, v.entry_id FROM verdict v
                    WHERE v.neighbor_keys @> ARRAY[k.neighbor_key] OFFSET 0) v
JOIN time_entry t ON t.entry_id = v.entry_id AND t.verdict_id = v.verdict_id
WHERE NOT EXISTS (SELECT FROM standing_effect s WHERE s.entry_id = v.entry_id)
