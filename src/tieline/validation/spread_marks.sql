-- What a new release or a moved period asks for, hour by hour.
WITH wide AS (
    DELETE FROM rejudge WHERE neighbor_key = 'release' OR neighbor_key LIKE 'period:%'
    RETURNING neighbor_key, because, correlation_id, recorded_at
)
INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
SELECT 'entry:' || t.entry_id, r.because, r.correlation_id, r.recorded_at
FROM (SELECT * FROM wide WHERE neighbor_key = 'release' ORDER BY recorded_at DESC LIMIT 1) r
CROSS JOIN time_entry t
WHERE t.verdict_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM effect e WHERE e.entry_id = t.entry_id AND e.state NOT IN ('PLANNED', 'WITHDRAWN', 'REJECTED'))
UNION ALL
SELECT DISTINCT 'entry:' || t.entry_id, w.because, w.correlation_id, w.recorded_at
FROM wide w
JOIN time_entry t ON w.neighbor_key <> 'release'
JOIN verdict v ON v.verdict_id = t.verdict_id
LEFT JOIN effect e ON e.entry_id = t.entry_id AND e.noun = 'time_line' AND e.state IN ('PLANNED', 'ABSENT', 'CONFIRMED')
WHERE w.neighbor_key IN ('period:' || v.period_id, 'period:' || e.period_id)
  AND (v.outcome IN ('held', 'parked') OR e.state IN ('PLANNED', 'ABSENT'))
