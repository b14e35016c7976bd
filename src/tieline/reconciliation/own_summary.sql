-- What one check of our own books found, by scope, in what it says and by currency; of the things the first fifty.
SELECT source_connection, target_connection, entity_code, period_id, project_id, said, currency, count(*) AS things,
       coalesce(sum(abs(seconds)), 0)::bigint AS seconds, coalesce(sum(abs(amount)), 0) AS amount,
       (array_agg(thing ORDER BY thing))[:50] AS keys, md5(string_agg(thing, ',' ORDER BY thing)) AS digest
FROM (
{check}
) found
GROUP BY 1, 2, 3, 4, 5, 6, 7
ORDER BY things DESC, said, source_connection, target_connection, entity_code, period_id, project_id, currency
LIMIT %(limit)s
