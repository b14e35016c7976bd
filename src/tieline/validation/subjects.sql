-- Who is judged: what the batch brought, what a key names, and the unposted neighbors of both.
CREATE TEMP TABLE IF NOT EXISTS judge_subject (entry_id uuid PRIMARY KEY) ON COMMIT DROP
-- then
DELETE FROM judge_subject
-- then
-- Each look-up by a key would read what is not yet sorted in, and each question of a cap what is not yet put together.
SELECT settle_neighbor_keys(), fold_standing_sums()
-- then
INSERT INTO judge_subject
SELECT entry_id FROM time_entry_version
WHERE batch_id = %(batch_id)s AND is_newest
UNION
SELECT substr(k, 7)::uuid FROM unnest(%(keys)s::text[]) k
WHERE k LIKE 'entry:%%' AND EXISTS (SELECT FROM time_entry t WHERE t.entry_id = substr(k, 7)::uuid)
UNION
SELECT t.entry_id FROM unnest(%(set_keys)s::text[]) AS k (neighbor_key)
CROSS JOIN LATERAL (SELECT h.entry_id FROM scarce_hour h WHERE h.neighbor_key = k.neighbor_key OFFSET 0) h
CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = h.entry_id OFFSET 0) t
CROSS JOIN LATERAL (SELECT v.version, v.posting_hash FROM verdict v
                    WHERE v.verdict_id = t.verdict_id AND v.neighbor_keys @> ARRAY[k.neighbor_key] OFFSET 0) v
LEFT JOIN LATERAL (SELECT true AS stands, s.posting_hash FROM standing_effect s WHERE s.entry_id = t.entry_id LIMIT 1) s
    ON true
-- What waits to be corrected takes more than what stands of it.
WHERE k.neighbor_key ~ '^(client-)?cap:'
  AND (v.version <> t.newest_version OR s.stands IS NULL OR s.posting_hash <> v.posting_hash)
UNION
SELECT t.entry_id FROM unnest(%(set_keys)s::text[]) AS k (neighbor_key)
-- Key by key through the index, and hour by hour: the cost is that of the neighbors, not of the table.
CROSS JOIN LATERAL (SELECT v.verdict_id, v.entry_id, v.version, v.contract_id, v.contract_line_id, v.work_date,
                           v.posting_hash FROM verdict v
                    WHERE v.neighbor_keys @> ARRAY[k.neighbor_key] OFFSET 0) v
CROSS JOIN LATERAL (SELECT t.entry_id, t.newest_version FROM time_entry t
                    WHERE t.entry_id = v.entry_id AND t.verdict_id = v.verdict_id OFFSET 0) t
LEFT JOIN LATERAL (SELECT true AS stands, s.posting_hash FROM standing_effect s WHERE s.entry_id = t.entry_id LIMIT 1) s
    ON true
-- What waits to be corrected is not posted as it is now.
WHERE k.neighbor_key !~ '^(client-)?cap:' AND (v.version <> t.newest_version OR s.stands IS NULL
   OR s.posting_hash IS DISTINCT FROM v.posting_hash
   -- Where the day is rounded, what was posted is billed together with whatever is told of the day.
   OR k.neighbor_key LIKE 'person-day:%%' AND EXISTS (
          SELECT FROM billing_terms b
          WHERE b.contract_id = v.contract_id AND b.rounds_per = 'day' AND b.superseded_at IS NULL
            AND daterange(b.starts_on, b.ends_on) @> v.work_date)
   -- What was posted under a rate that is another one by now has changed, though its source has not.
   OR k.neighbor_key LIKE 'contract:%%' AND EXISTS (
          SELECT FROM contract_line o
          JOIN contract_line l ON (l.contract_id, l.task_name, l.labor_category) = (o.contract_id, o.task_name, o.labor_category)
              AND l.superseded_at IS NULL AND daterange(l.starts_on, l.ends_on) @> v.work_date
              AND (l.rate_amount, l.currency, l.markup_percent)
                  IS DISTINCT FROM (o.rate_amount, o.currency, o.markup_percent)
          WHERE o.contract_line_id = v.contract_line_id AND o.superseded_at IS NOT NULL))
UNION
-- The same, where another step of the rates decides.
SELECT entry_id FROM repriced_hours(%(set_keys)s::text[])
UNION
-- What stands, and belongs to another person, project, task or role by now.
SELECT entry_id FROM moved_hours(%(set_keys)s::text[])
-- then
-- Whoever shares a scarce amount with one of them is judged with it, whatever asked for the look: what is left for
-- one hour depends on every hour before it. Nothing is looked up where nothing is scarce.
INSERT INTO judge_subject
WITH limited AS (
    SELECT contract_id FROM contract_version WHERE cap_amount IS NOT NULL
    UNION SELECT contract_id FROM spending_limit WHERE contract_id IS NOT NULL
    UNION SELECT contract_id FROM purchase_order
), shared AS (
    SELECT DISTINCT 'cap:' || v.contract_id AS neighbor_key
    FROM judge_subject s JOIN time_entry t ON t.entry_id = s.entry_id JOIN verdict v ON v.verdict_id = t.verdict_id
    WHERE EXISTS (SELECT FROM limited) AND v.contract_id IN (SELECT contract_id FROM limited)
    UNION
    SELECT DISTINCT 'client-cap:' || v.client_id
    FROM judge_subject s JOIN time_entry t ON t.entry_id = s.entry_id JOIN verdict v ON v.verdict_id = t.verdict_id
    WHERE EXISTS (SELECT FROM spending_limit WHERE client_id IS NOT NULL)
      AND v.client_id IN (SELECT coalesce(o.redirect_to, o.client_id) FROM spending_limit l JOIN client o USING (client_id))
)
SELECT DISTINCT t.entry_id FROM shared k
-- Of all hours that ever shared it, those of which nothing stands are listed.
CROSS JOIN LATERAL (SELECT h.entry_id FROM scarce_hour h WHERE h.neighbor_key = k.neighbor_key OFFSET 0) h
CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = h.entry_id OFFSET 0) t
CROSS JOIN LATERAL (SELECT v.version, v.posting_hash FROM verdict v
                    WHERE v.verdict_id = t.verdict_id AND v.neighbor_keys @> ARRAY[k.neighbor_key] OFFSET 0) v
LEFT JOIN LATERAL (SELECT true AS stands, s.posting_hash FROM standing_effect s WHERE s.entry_id = t.entry_id LIMIT 1) s
    ON true
WHERE v.version <> t.newest_version OR s.stands IS NULL OR s.posting_hash <> v.posting_hash
ON CONFLICT DO NOTHING
-- then
ANALYZE judge_subject
