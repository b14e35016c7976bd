-- What of a project was delivered and is on no invoice, hour by hour: what stands in its target, and what would still go
-- there. What is in an import file is settled there first; what leaves already leaves by itself.
SELECT p.entry_id, t.newest_version AS version, p.seconds, coalesce(f.period_code, '') AS period_code,
       coalesce(f.state, '') AS period_state, coalesce(l.seconds, 0)::integer AS posted_seconds,
       coalesce(l.amount, v.amount) AS amount, coalesce(l.currency, v.currency) AS currency
FROM entry_place p
JOIN time_entry t ON t.entry_id = p.entry_id
LEFT JOIN verdict v ON v.verdict_id = p.verdict_id
LEFT JOIN fiscal_period f ON f.period_id = p.period_id
LEFT JOIN LATERAL (
    SELECT sum(b.seconds) AS seconds, sum(b.amount) AS amount, min(b.currency) AS currency
    FROM ledger_line b WHERE b.entry_id = p.entry_id AND b.project_id = p.project_id
) l ON true
WHERE p.project_id = %(project_id)s AND p.place IN ('posted', 'pending', 'held')
  AND NOT EXISTS (SELECT FROM ledger_line b JOIN invoice_ledger_line i USING (business_key)
                  WHERE b.entry_id = p.entry_id)
ORDER BY p.entry_id
