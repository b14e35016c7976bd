-- What the checks that always run say, and how many scopes each of them has stopped.
SELECT 'check' AS what, state AS label, count(*)::integer AS count FROM check_result GROUP BY 2
UNION ALL
SELECT 'stop', check_name, count(*)::integer FROM posting_stop WHERE lifted_at IS NULL GROUP BY 2
ORDER BY 1, 2
