-- Every counted outcome since the installation began. A call that was let go, and was neither put off nor left
-- without an answer, was answered.
SELECT connection_key, operation, outcome, sum(count)::bigint AS count FROM (
    SELECT connection_key, operation, outcome, count FROM outcome_count
    UNION ALL
    SELECT b.connection_key, 'call', 'answered', greatest(0, b.granted - coalesce((
        SELECT sum(o.count) FROM outcome_count o
        WHERE o.connection_key = b.connection_key AND o.operation = 'call'), 0))
    FROM connection_budget b) counted
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
