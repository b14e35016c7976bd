-- Uninvoiced billable seconds per task of the target up to a period's end: what the target will bill.
-- Summed per fiscal period of work first, then over all periods up to each.
WITH worked AS (
    SELECT l.contract_id, l.entity_code, l.project_id, l.contract_line_id, coalesce(l.rate_amount, 0) AS rate_amount,
           x.source_ref, coalesce(w.starts_on, '-infinity') AS worked_from, sum(l.seconds) AS seconds,
           coalesce(sum(l.amount), 0) AS amount
    FROM ledger_line l
    LEFT JOIN fiscal_period w ON w.entity_code = l.entity_code AND w.starts_on <= l.work_date
         AND w.ends_on > l.work_date
    LEFT JOIN crosswalk x ON x.noun = 'erp_task' AND x.our_id = l.contract_line_id AND x.superseded_at IS NULL
         AND x.connection_key = l.target_connection AND daterange(x.starts_on, x.ends_on) @> l.work_date
    WHERE l.is_billable AND (%(up_to_on)s::date IS NULL OR l.work_date <= %(up_to_on)s::date)
      AND (%(contract_ids)s::uuid[] IS NULL OR l.contract_id = ANY (%(contract_ids)s::uuid[]))
      AND NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = l.business_key)
    GROUP BY l.contract_id, l.entity_code, l.project_id, l.contract_line_id, l.rate_amount, x.source_ref, w.starts_on
)
SELECT k.contract_id, p.period_id, k.project_id, k.rate_amount,
       coalesce(k.source_ref, 'unlinked:' || coalesce(k.contract_line_id::text, 'none')) AS task_code,
       coalesce(min(c.task_name), '') AS task_name, min(c.labor_category) AS labor_category,
       min(c.starts_on) AS rate_starts_on, sum(k.seconds)::bigint AS seconds, sum(k.amount) AS ledger_amount
FROM worked k
JOIN fiscal_period p ON p.entity_code = k.entity_code AND k.worked_from < p.ends_on
LEFT JOIN contract_line c ON c.contract_line_id = k.contract_line_id
WHERE %(period_id)s::uuid IS NULL OR p.period_id = %(period_id)s
GROUP BY k.contract_id, p.period_id, k.project_id, k.contract_line_id, k.rate_amount, k.source_ref
HAVING sum(k.seconds) <> 0
ORDER BY k.contract_id, p.period_id, k.project_id, length(k.source_ref), k.source_ref, k.contract_line_id
