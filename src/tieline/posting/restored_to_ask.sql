-- Hours that may have been posted since the restore point, with every key that they may have been posted
-- under: the numbers they have here, and so many more. In the first pass every hour of an entity is asked
-- about, page by page; later only what is about to be sent and was not asked about, and what is unsettled.
WITH page AS (
    SELECT t.entry_id, t.connection_key, t.source_epoch, t.object, t.source_ref
    FROM time_entry t
    WHERE %(is_whole)s AND t.entry_id > %(after)s
      AND NOT EXISTS (SELECT FROM restored_ask a WHERE a.restoration_id = %(restoration_id)s
                      AND a.entry_id = t.entry_id AND a.entity_code = %(entity_code)s)
      AND (EXISTS (SELECT FROM verdict v WHERE v.verdict_id = t.verdict_id AND v.entity_code = %(entity_code)s)
           OR EXISTS (SELECT FROM effect e WHERE e.entry_id = t.entry_id AND e.entity_code = %(entity_code)s
                      AND e.noun = 'time_line'))
    ORDER BY t.entry_id LIMIT %(limit)s
), late AS (
    SELECT t.entry_id, t.connection_key, t.source_epoch, t.object, t.source_ref
    FROM time_entry t
    WHERE NOT %(is_whole)s AND t.entry_id IN (
        SELECT e.entry_id FROM unsettled_effect e
        WHERE e.target_connection = %(target)s AND e.entity_code = %(entity_code)s AND e.noun = 'time_line'
          AND e.state NOT IN ('CONFIRMED', 'REJECTED', 'WITHDRAWN')
          AND NOT EXISTS (SELECT FROM restored_ask a WHERE a.restoration_id = %(restoration_id)s
                          AND a.entry_id = e.entry_id AND a.entity_code = e.entity_code)
        UNION
        SELECT w.entry_id FROM restored_write w
        WHERE w.restoration_id = %(restoration_id)s AND w.settled_at IS NULL
          AND w.target_connection = %(target)s AND w.entity_code = %(entity_code)s)
    ORDER BY t.entry_id LIMIT %(limit)s
)
SELECT p.*, k.part, n.effect_no,
       tieline.business_key(p.connection_key, p.source_epoch, p.object, p.source_ref, %(target)s, 'time_line',
                            k.part, n.effect_no) AS business_key
FROM (SELECT * FROM page UNION ALL SELECT * FROM late) p
CROSS JOIN LATERAL (
    -- Whether an hour was split may be forgotten; whether any may have been is not.
    SELECT w.part, coalesce(max(e.effect_no), 0) AS known
    FROM (SELECT 'main' AS part UNION ALL SELECT 'capped' WHERE EXISTS (SELECT FROM over_cap)) w
    LEFT JOIN effect e ON e.entry_id = p.entry_id AND e.target_connection = %(target)s AND e.noun = 'time_line'
        AND e.part = w.part
    GROUP BY w.part
) k
CROSS JOIN LATERAL generate_series(1, k.known + %(numbers)s) n (effect_no)
ORDER BY p.entry_id, k.part DESC, n.effect_no
