-- What a new release or a moved period asks for, hour by hour.
WITH wide AS (
    DELETE FROM rejudge WHERE neighbor_key = 'release' OR neighbor_key LIKE 'period:%'
    RETURNING neighbor_key, because, correlation_id, recorded_at
)
INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
SELECT 'entry:' || t.entry_id, r.because, r.correlation_id, r.recorded_at
FROM (SELECT * FROM wide WHERE neighbor_key = 'release' ORDER BY recorded_at DESC LIMIT 1) r
CROSS JOIN time_entry t
JOIN verdict v ON v.verdict_id = t.verdict_id
LEFT JOIN standing_effect s ON s.entry_id = t.entry_id
-- What stands as it was judged is done with.
WHERE s.entry_id IS NULL OR s.posting_hash IS DISTINCT FROM v.posting_hash
UNION
SELECT 'entry:' || t.entry_id, w.because, w.correlation_id, w.recorded_at
FROM wide w
JOIN fiscal_period p ON w.neighbor_key = 'period:' || p.period_id
JOIN verdict v ON v.period_id = p.period_id
    -- Of the home company, and days that lay in no period.
    OR p.entity_code IN (v.entity_code, v.home_entity_code) AND v.work_date >= p.starts_on AND v.work_date < p.ends_on
JOIN time_entry t ON t.verdict_id = v.verdict_id
WHERE v.outcome IN ('held', 'parked') OR t.entry_id IN (
    SELECT e.entry_id FROM unsettled_effect e WHERE e.noun = 'time_line' AND e.state IN ('PLANNED', 'ABSENT'))
UNION
-- Where something stands there, or would go there.
SELECT 'entry:' || t.entry_id, w.because, w.correlation_id, w.recorded_at
FROM wide w
JOIN effect e ON w.neighbor_key = 'period:' || e.period_id AND e.noun = 'time_line'
    AND e.state IN ('PLANNED', 'ABSENT', 'CONFIRMED')
JOIN time_entry t ON t.entry_id = e.entry_id
JOIN verdict v ON v.verdict_id = t.verdict_id
WHERE v.outcome IN ('held', 'parked') OR e.state IN ('PLANNED', 'ABSENT')
UNION
SELECT 'entry:' || t.entry_id, w.because, w.correlation_id, w.recorded_at
FROM wide w
JOIN adjustment a ON w.neighbor_key IN ('period:' || a.booking_period_id, 'period:' || a.reversal_period_id)
JOIN time_entry t ON t.entry_id = a.entry_id AND t.newest_version = a.version
JOIN verdict v ON v.verdict_id = t.verdict_id
WHERE a.superseded_at IS NULL AND v.outcome IN ('held', 'parked')
