-- Executors by state; a lost one stays counted, so that an alarm can see it.
SELECT state, count(*)::integer AS count FROM executor GROUP BY state ORDER BY 1
