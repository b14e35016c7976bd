-- What is kept of a contract's use is what its standing hours come to; and who shares a cap and does not stand is listed.
SELECT NULL AS source_connection, n.erp_connection_key AS target_connection, k.entity_code, NULL::uuid AS period_id, p.project_id,
       'what a contract has used up is kept otherwise than its hours come to' AS said, x.currency,
       'contract:' || contract_id AS thing, coalesce(x.seconds, 0) AS seconds, x.amount
FROM (
    SELECT contract_id, coalesce(h.currency, s.currency) AS currency,
           abs(coalesce(s.amount, 0) - coalesce(h.amount, 0)) AS amount,
           abs(coalesce(s.seconds, 0) - coalesce(h.seconds, 0))::bigint AS seconds
    FROM (SELECT v.contract_id, coalesce(v.currency, '') AS code, v.currency, coalesce(sum(e.amount), 0) AS amount,
                 sum(e.seconds) AS seconds
          FROM effect e
          JOIN verdict v ON v.verdict_id = e.verdict_id
          LEFT JOIN effect u ON u.undoes_key = e.business_key AND u.kind = 'void' AND u.state = 'CONFIRMED'
          WHERE e.noun = 'time_line' AND e.kind = 'book' AND effect_counts(e.state, e.kind) AND u.business_key IS NULL
            AND v.contract_id IS NOT NULL
          GROUP BY 1, 2, 3) h
    FULL JOIN (SELECT contract_id, coalesce(currency, '') AS code, currency, sum(amount) AS amount,
                      sum(seconds) AS seconds
               FROM standing_sum GROUP BY 1, 2, 3) s USING (contract_id, code)
) x
JOIN contract k USING (contract_id)
JOIN legal_entity n ON n.entity_code = k.entity_code
LEFT JOIN project p USING (contract_id)
WHERE x.amount <> 0 OR x.seconds <> 0
UNION ALL
SELECT t.connection_key, NULL, v.entity_code, v.period_id, v.project_id,
       'hours share a cap and are not listed with it', v.currency, 'entry:' || t.entry_id, v.seconds, v.amount
FROM time_entry t
JOIN verdict v ON v.verdict_id = t.verdict_id
CROSS JOIN LATERAL scarce_keys(v.neighbor_keys) k
LEFT JOIN scarce_hour h ON h.neighbor_key = k AND h.entry_id = t.entry_id
LEFT JOIN standing_effect s ON s.entry_id = t.entry_id
WHERE h.entry_id IS NULL AND s.entry_id IS NULL AND v.outcome <> 'outside'
