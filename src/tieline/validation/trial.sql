-- What a change would do, contract by contract: what stands in the ERP keeps what it was booked with.
SELECT k.contract_code, k.entity_code, x.place, x.currency, count(*) AS hours, sum(x.seconds)::bigint AS seconds,
       coalesce(sum(x.before_amount), 0) AS before_amount, coalesce(sum(x.after_amount), 0) AS after_amount,
       count(*) FILTER (WHERE NOT x.was_held AND x.is_held) AS newly_held,
       count(*) FILTER (WHERE x.was_held AND NOT x.is_held) AS newly_free,
       count(*) FILTER (WHERE x.before_amount IS DISTINCT FROM x.after_amount) AS repriced,
       count(*) FILTER (WHERE x.before_order IS DISTINCT FROM x.after_order) AS other_order
FROM (
    SELECT coalesce(v.contract_id, j.contract_id) AS contract_id, coalesce(j.currency, v.currency) AS currency,
           j.seconds, coalesce(s.amount, v.amount) AS before_amount, j.amount AS after_amount,
           v.outcome = 'held' AS was_held, h.entry_id IS NOT NULL AS is_held,
           o.purchase_order AS before_order, j.purchase_order AS after_order,
           CASE WHEN i.state IN ('posted', 'paid') THEN 'invoiced' WHEN i.state IS NOT NULL THEN 'drafted'
                WHEN s.entry_id IS NOT NULL THEN 'posted' ELSE 'unposted' END AS place
    FROM judged j
    JOIN time_entry t ON t.entry_id = j.entry_id
    JOIN verdict v ON v.verdict_id = t.verdict_id
    LEFT JOIN trial_before o ON o.entry_id = j.entry_id
    LEFT JOIN LATERAL (
        SELECT e.entry_id, e.business_key, e.amount FROM effect e
        WHERE e.entry_id = j.entry_id AND e.noun = 'time_line' AND e.kind = 'book' AND e.state = 'CONFIRMED'
          AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                          AND u.state = 'CONFIRMED')
        ORDER BY e.part = 'capped', e.effect_no DESC LIMIT 1
    ) s ON true
    LEFT JOIN invoice_ledger_line b ON b.business_key = s.business_key
    LEFT JOIN invoice_record i ON i.invoice_id = b.invoice_id
    LEFT JOIN (SELECT DISTINCT entry_id FROM weighed WHERE severity = 'error') h ON h.entry_id = j.entry_id
    WHERE j.is_counted
) x
JOIN contract k ON k.contract_id = x.contract_id
GROUP BY k.contract_code, k.entity_code, x.place, x.currency
HAVING count(*) FILTER (WHERE x.was_held <> x.is_held OR x.before_amount IS DISTINCT FROM x.after_amount
                        OR x.before_order IS DISTINCT FROM x.after_order) > 0
ORDER BY k.contract_code, x.place, x.currency
