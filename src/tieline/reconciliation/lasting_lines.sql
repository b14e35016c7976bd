-- What lasted, by scope, in what it says and by currency, as the checks of our own books tell it.
SELECT NULL AS source_connection, target_connection, entity_code, period_id, project_id, said, currency,
       count(*) AS things, coalesce(sum(seconds), 0)::bigint AS seconds, coalesce(sum(amount), 0) AS amount,
       (array_agg(thing ORDER BY thing))[:50] AS keys, md5(string_agg(thing, ',' ORDER BY thing)) AS digest
FROM line_difference WHERE target_connection = %(target)s AND checks >= %(checks)s
GROUP BY 2, 3, 4, 5, 6, 7 ORDER BY things DESC, said, entity_code, period_id, project_id, currency
