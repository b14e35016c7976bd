-- What projects came to at an instant, summed by one of their properties and by currency. A sum of which a part is
-- unknown is unknown; margin is what was earned less what the hours cost. What is left of a contract of several projects
-- is known where all of them are summed.
WITH {figures}, named AS (
    SELECT f.*, coalesce(CASE %(by)s
               WHEN 'project' THEN f.project_code WHEN 'contract' THEN f.contract_code WHEN 'client' THEN n.name
               WHEN 'practice' THEN f.practice WHEN 'entity' THEN f.entity_code END, '') AS name,
           CASE WHEN %(by)s = 'client' THEN f.client_id::text ELSE '' END AS one
    FROM figures f
    LEFT JOIN client_version n ON n.client_id = f.client_id AND n.recorded_at <= %(at)s
         AND (n.superseded_at IS NULL OR n.superseded_at > %(at)s)
    WHERE %(entity_code)s::text IS NULL OR f.entity_code = %(entity_code)s
), summed AS (
    SELECT name, one, currency, contract_id, count(*) AS projects, array_agg(DISTINCT recognition) AS recognition,
           CASE WHEN count(*) = min(projects) THEN min(whole_amount) END AS contract_amount, min(funding) AS funding,
           CASE WHEN bool_and(earned IS NOT NULL) THEN sum(earned) END AS earned,
           CASE WHEN bool_and(wip IS NOT NULL) THEN sum(wip) END AS wip, sum(billed) AS billed,
           CASE WHEN bool_and(deferred IS NOT NULL) THEN sum(deferred) END AS deferred,
           CASE WHEN bool_and(seconds = 0 OR cost IS NOT NULL) THEN coalesce(sum(cost), 0) END AS cost,
           sum(seconds) AS seconds, sum(target_seconds) AS target_seconds, sum(ledger_billed) AS ledger_billed,
           sum(rounding) AS rounding, sum(mismatch) AS mismatch
    FROM named GROUP BY name, one, currency, contract_id
), left_over AS (
    SELECT *, CASE WHEN earned IS NOT NULL AND contract_amount IS NOT NULL THEN greatest(contract_amount - earned, 0) END AS backlog,
           CASE WHEN earned IS NOT NULL AND contract_amount IS NOT NULL AND funding IS NOT NULL
               THEN greatest(least(contract_amount, funding) - earned, 0) END AS funded
    FROM summed
), rates AS (
    SELECT n.name, n.one, n.currency, array_agg(DISTINCT r.told ORDER BY r.told) AS told
    FROM named n CROSS JOIN LATERAL unnest(n.rates) AS r (told) GROUP BY n.name, n.one, n.currency
)
SELECT name, currency, sum(projects)::integer AS projects,
       (SELECT array_agg(DISTINCT e.word ORDER BY e.word) FROM named n, LATERAL (SELECT n.recognition AS word) e
        WHERE (n.name, n.one, n.currency) = (s.name, s.one, s.currency)) AS recognition,
       CASE WHEN bool_and(contract_amount IS NOT NULL) THEN sum(contract_amount) END AS contract_amount,
       CASE WHEN bool_and(earned IS NOT NULL) THEN sum(earned) END AS earned_amount,
       CASE WHEN bool_and(wip IS NOT NULL) THEN sum(wip) END AS wip_amount, sum(billed) AS billed_amount,
       CASE WHEN bool_and(deferred IS NOT NULL) THEN sum(deferred) END AS deferred_amount,
       CASE WHEN bool_and(backlog IS NOT NULL) THEN sum(backlog) END AS backlog_amount,
       CASE WHEN bool_and(funded IS NOT NULL) THEN sum(funded) END AS funded_amount,
       CASE WHEN bool_and(funded IS NOT NULL) THEN sum(backlog - funded) END AS unfunded_amount,
       CASE WHEN bool_and(cost IS NOT NULL) THEN sum(cost) END AS cost_amount,
       CASE WHEN bool_and(earned IS NOT NULL AND cost IS NOT NULL) THEN sum(earned - cost) END AS margin_amount,
       coalesce((SELECT r.told FROM rates r WHERE (r.name, r.one, r.currency) = (s.name, s.one, s.currency)), '{}') AS cost_rates,
       sum(seconds)::bigint AS ledger_seconds, sum(target_seconds)::bigint AS erp_seconds,
       sum(ledger_billed) AS ledger_billed_amount, sum(rounding) AS rounding_amount, sum(mismatch) AS unexplained_amount
FROM left_over s
GROUP BY name, one, currency
ORDER BY name, one, currency
