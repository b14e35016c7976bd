-- One event has at most one standing confirmed write in a target, and one ledger line.
SELECT NULL AS source_connection, e.target_connection, e.entity_code, e.period_id, e.project_id,
       'hours were confirmed more than once' AS said, e.currency, e.business_key::text AS thing, e.seconds, e.amount
FROM effect e
JOIN (
    SELECT connection_key, source_epoch, object, source_ref, target_connection, noun, part FROM effect e
    WHERE e.state = 'CONFIRMED' AND e.kind IN ('book', 'write')
      AND NOT EXISTS (SELECT FROM noun_without_money n WHERE n.noun = e.noun)
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND u.state = 'CONFIRMED')
    GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING count(*) > 1
) twice USING (connection_key, source_epoch, object, source_ref, target_connection, noun, part)
WHERE e.state = 'CONFIRMED' AND e.kind IN ('book', 'write')
UNION ALL
SELECT NULL, l.target_connection, l.entity_code, l.period_id, l.project_id, 'the ledger holds lines more than once',
       l.currency, l.business_key::text, l.seconds, l.amount
FROM ledger_line l
JOIN (SELECT business_key FROM ledger_line GROUP BY 1 HAVING count(*) > 1) twice USING (business_key)
