-- Uninvoiced billable seconds per task of the target up to a period's end: what the target will bill.
SELECT l.contract_id, p.period_id, l.project_id, coalesce(l.rate_amount, 0) AS rate_amount,
       coalesce(x.source_ref, 'unlinked:' || coalesce(l.contract_line_id::text, 'none')) AS task_code,
       coalesce(min(c.task_name), '') AS task_name, min(c.labor_category) AS labor_category,
       min(c.starts_on) AS rate_starts_on,
       sum(l.seconds)::bigint AS seconds, coalesce(sum(l.amount), 0) AS ledger_amount
FROM ledger_line l
JOIN fiscal_period p ON p.entity_code = l.entity_code AND l.work_date < p.ends_on
LEFT JOIN contract_line c ON c.contract_line_id = l.contract_line_id
LEFT JOIN crosswalk x ON x.noun = 'erp_task' AND x.our_id = l.contract_line_id AND x.superseded_at IS NULL
     AND x.connection_key = l.target_connection AND daterange(x.starts_on, x.ends_on) @> l.work_date
WHERE l.is_billable
  AND (%(contract_ids)s::uuid[] IS NULL OR l.contract_id = ANY (%(contract_ids)s::uuid[]))
  AND (%(period_id)s::uuid IS NULL OR p.period_id = %(period_id)s)
  AND NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = l.business_key)
GROUP BY l.contract_id, p.period_id, l.project_id, l.contract_line_id, l.rate_amount, x.source_ref
HAVING sum(l.seconds) <> 0
ORDER BY l.contract_id, p.period_id, l.project_id, length(x.source_ref), x.source_ref, l.contract_line_id
