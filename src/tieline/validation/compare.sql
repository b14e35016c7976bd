-- What two releases, or two states of what is known, say of the hours of some days, where they differ: one row per
-- contract, period and change. The sample is the first of them by id.
SELECT x.was_entity_code, x.entity_code, o.contract_code AS was_contract_code, k.contract_code, p.period_code,
       x.period_state, x.place, x.was_currency, x.currency, x.was, x.becomes, x.gained, x.lost, count(*) AS entries,
       sum(x.seconds)::bigint AS seconds, count(*) FILTER (WHERE x.amount IS NULL) AS unpriced,
       coalesce(sum(x.was_amount), 0) AS was_amount, coalesce(sum(x.amount), 0) AS amount,
       (array_agg(x.entry_id ORDER BY x.entry_id))[1:%(sample)s::integer] AS sample
FROM (
    SELECT a.entry_id, coalesce(b.entity_code, '') AS was_entity_code, coalesce(a.entity_code, '') AS entity_code,
           b.contract_id AS was_contract_id, a.contract_id, a.period_id,
           coalesce(a.period_state, '') AS period_state, coalesce(b.currency, '') AS was_currency,
           coalesce(a.currency, '') AS currency, b.outcome AS was, a.outcome AS becomes, a.seconds,
           b.amount AS was_amount, a.amount,
           CASE WHEN a.standing_count = 0 THEN 'waiting' WHEN a.is_standing_invoiced THEN 'invoiced'
                ELSE 'posted' END AS place,
           ARRAY(SELECT unnest(a.reasons) EXCEPT SELECT unnest(b.reasons) ORDER BY 1) AS gained,
           ARRAY(SELECT unnest(b.reasons) EXCEPT SELECT unnest(a.reasons) ORDER BY 1) AS lost
    FROM ({before}) b
    JOIN ({after}) a ON a.entry_id = b.entry_id
    WHERE a.work_date >= %(first_on)s AND a.work_date < %(beyond_on)s
      AND (a.outcome, a.reasons, a.amount, a.posting_hash)
          IS DISTINCT FROM (b.outcome, b.reasons, b.amount, b.posting_hash)
) x
LEFT JOIN contract o ON o.contract_id = x.was_contract_id
LEFT JOIN contract k ON k.contract_id = x.contract_id
LEFT JOIN fiscal_period p ON p.period_id = x.period_id
GROUP BY x.was_entity_code, x.entity_code, o.contract_code, k.contract_code, p.period_code, x.period_state, x.place,
         x.was_currency, x.currency, x.was, x.becomes, x.gained, x.lost
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
