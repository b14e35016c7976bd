-- What projects came to at an instant, summed by one of their properties and by currency. A sum of which a part is
-- unknown is unknown; margin is what was earned less what the hours cost.
WITH {figures}, named AS (
    SELECT f.*, coalesce(CASE %(by)s
               WHEN 'project' THEN f.project_code WHEN 'contract' THEN f.contract_code WHEN 'client' THEN n.name
               WHEN 'practice' THEN f.practice WHEN 'entity' THEN f.entity_code END, '') AS name,
           CASE WHEN %(by)s = 'client' THEN f.client_id::text ELSE '' END AS one
    FROM figures f
    LEFT JOIN client_version n ON n.client_id = f.client_id AND n.recorded_at <= %(at)s
         AND (n.superseded_at IS NULL OR n.superseded_at > %(at)s)
    WHERE %(entity_code)s::text IS NULL OR f.entity_code = %(entity_code)s
)
SELECT name, currency, count(*)::integer AS projects, array_agg(DISTINCT recognition ORDER BY recognition) AS recognition,
       CASE WHEN bool_and(contract_amount IS NOT NULL) THEN sum(contract_amount) END AS contract_amount,
       CASE WHEN bool_and(earned IS NOT NULL) THEN sum(earned) END AS earned_amount,
       CASE WHEN bool_and(wip IS NOT NULL) THEN sum(wip) END AS wip_amount, sum(billed) AS billed_amount,
       CASE WHEN bool_and(deferred IS NOT NULL) THEN sum(deferred) END AS deferred_amount,
       CASE WHEN bool_and(backlog IS NOT NULL) THEN sum(backlog) END AS backlog_amount,
       CASE WHEN bool_and(funded IS NOT NULL) THEN sum(funded) END AS funded_amount,
       CASE WHEN bool_and(funded IS NOT NULL) THEN sum(backlog - funded) END AS unfunded_amount,
       CASE WHEN bool_and(seconds = 0 OR cost IS NOT NULL) THEN coalesce(sum(cost), 0) END AS cost_amount,
       CASE WHEN bool_and(earned IS NOT NULL AND (seconds = 0 OR cost IS NOT NULL))
           THEN sum(earned) - coalesce(sum(cost), 0) END AS margin_amount,
       sum(seconds)::bigint AS ledger_seconds, sum(target_seconds)::bigint AS erp_seconds,
       sum(ledger_billed) AS ledger_billed_amount, sum(rounding) AS rounding_amount, sum(mismatch) AS unexplained_amount
FROM named
GROUP BY name, one, currency
ORDER BY name, one, currency
