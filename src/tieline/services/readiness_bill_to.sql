-- What to ask the ERP for, while the contract is released: one document per project, in the ERP's own codes. Where
-- a client's order ends or begins on the way, what was worked before is a document of its own.
WITH cut AS (
    SELECT o.contract_id, x.on_date FROM purchase_order o
    CROSS JOIN LATERAL (VALUES (o.starts_on - 1), (o.ends_on - 1)) x (on_date)
    WHERE o.contract_id = %(contract_id)s AND o.superseded_at IS NULL AND x.on_date IS NOT NULL
)
SELECT c.contract_id, c.contract_code, k.period_id, p.period_code, c.entity_code, v.billing_method,
       l.currency, s.up_to_on, s.is_cut, p.cut_off_at AS deadline_at, l.erp_connection_key AS target, j.project_id,
       j.project_code, coalesce(xp.source_ref, '') AS erp_project_code,
       coalesce(xc.source_ref, '') AS erp_contract_code, v.value_amount,
       v.starts_on AS contract_starts_on, v.ends_on AS contract_ends_on,
       EXISTS (SELECT FROM billing_split b WHERE b.contract_code = c.contract_code AND b.superseded_at IS NULL)
           OR EXISTS (SELECT FROM invoice_share i WHERE i.contract_id = c.contract_id) AS was_split,
       (SELECT count(*) FROM billing_schedule b WHERE b.contract_code = c.contract_code AND b.superseded_at IS NULL)
           AS schedule_count
FROM release_lock k
JOIN contract c USING (contract_id)
JOIN contract_version v ON v.contract_id = c.contract_id AND v.superseded_at IS NULL
JOIN legal_entity l ON l.entity_code = c.entity_code
JOIN fiscal_period p ON p.period_id = k.period_id
JOIN project j ON j.contract_id = c.contract_id
CROSS JOIN LATERAL (
    SELECT k.up_to_on, false AS is_cut
    UNION
    SELECT cut.on_date, true FROM cut
    WHERE cut.on_date < k.up_to_on AND v.billing_method <> ALL (%(whole)s::text[]) AND EXISTS (
        SELECT FROM ledger_line g
        WHERE g.project_id = j.project_id AND g.is_billable AND g.work_date <= cut.on_date
          AND NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = g.business_key))
) s
LEFT JOIN crosswalk xp ON xp.noun = 'project' AND xp.our_id = j.project_id AND xp.superseded_at IS NULL
     AND xp.connection_key = l.erp_connection_key AND daterange(xp.starts_on, xp.ends_on) @> k.up_to_on
LEFT JOIN crosswalk xc ON xc.noun = 'contract' AND xc.our_id = c.contract_id AND xc.superseded_at IS NULL
     AND xc.connection_key = l.erp_connection_key AND daterange(xc.starts_on, xc.ends_on) @> k.up_to_on
WHERE k.contract_id = %(contract_id)s AND k.period_id = %(period_id)s AND k.unlocked_at IS NULL
ORDER BY j.project_code, s.up_to_on
