-- What was confirmed and what the ledger holds, in hours and money, by target, legal entity, period and currency.
SELECT s.target_connection, s.entity_code, f.period_code, s.currency, sum(s.confirmed_seconds)::bigint AS confirmed_seconds,
       sum(s.ledger_seconds)::bigint AS ledger_seconds, sum(s.confirmed_amount) AS confirmed_amount,
       sum(s.ledger_amount) AS ledger_amount
FROM (
    SELECT target_connection, entity_code, period_id, currency, sum(seconds) AS confirmed_seconds, 0 AS ledger_seconds,
           coalesce(sum(amount), 0) AS confirmed_amount, 0::numeric AS ledger_amount
    FROM effect WHERE noun = 'time_line' AND state = 'CONFIRMED' GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT target_connection, entity_code, period_id, currency, 0, sum(seconds), 0, coalesce(sum(amount), 0)
    FROM ledger_line GROUP BY 1, 2, 3, 4
) s
LEFT JOIN fiscal_period f USING (period_id)
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
