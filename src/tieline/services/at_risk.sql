-- What waits at risk: each project that was opened before its deal was won, and what its waiting hours are worth.
SELECT r.risk_id, r.plan_id, r.entity_code, p.deal_key AS deal, p.state,
       p.plan ->> 'project_code' AS project_code, r.sponsor, r.limit_amount, r.currency, r.ends_on,
       timezone(l.zone, r.ends_on::timestamp) AS until_at, l.zone, w.seconds, w.amount, w.unpriced_seconds
FROM project_risk r
JOIN provisioning_plan p USING (plan_id)
JOIN legal_entity l ON l.entity_code = r.entity_code
CROSS JOIN LATERAL (
    SELECT coalesce(sum(v.seconds), 0)::bigint AS seconds,
           coalesce(sum(v.amount) FILTER (WHERE v.is_billable AND v.currency = r.currency), 0) AS amount,
           coalesce(sum(v.seconds) FILTER (WHERE v.is_billable AND (v.amount IS NULL OR v.currency <> r.currency)), 0)::bigint
               AS unpriced_seconds
    FROM verdict v JOIN time_entry t ON t.verdict_id = v.verdict_id
    WHERE v.project_id = p.project_id AND v.outcome IN ('parked', 'held')) w
WHERE r.ended_at IS NULL AND (%(plan_id)s::uuid IS NULL OR r.plan_id = %(plan_id)s)
ORDER BY r.entity_code, deal
