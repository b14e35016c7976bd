-- The buckets of the keys asked for, and of everything that one of the subjects is judged together with.
SELECT DISTINCT hashtext(k) & %(mask)s AS bucket
FROM (
    SELECT unnest(%(keys)s::text[]) AS k
    UNION ALL
    SELECT 'entry:' || entry_id FROM judge_subject
    UNION ALL
    SELECT k FROM judge_subject s
    JOIN time_entry t ON t.entry_id = s.entry_id
    JOIN verdict v ON v.verdict_id = t.verdict_id
    CROSS JOIN LATERAL unnest(v.neighbor_keys) k
    WHERE split_part(k, ':', 1) <> ALL (%(apart)s::text[])
) x
ORDER BY 1
