-- Events that wait for delivery or could not be delivered.
SELECT state, count(*)::integer AS count FROM outbox WHERE state <> 'sent' GROUP BY state ORDER BY 1
