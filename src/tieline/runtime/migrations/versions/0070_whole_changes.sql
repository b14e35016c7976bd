-- A change of an hour that is split at a cap is done when both of its lines are.
CREATE OR REPLACE VIEW change_state AS
SELECT c.*, t.connection_key, t.object, t.source_ref, b.target_connection, u.state AS undo_state,
       CASE
           WHEN d.is_done THEN 'corrected'
           WHEN NOT d.is_current THEN CASE WHEN u.state = 'CONFIRMED' THEN 'corrected' ELSE 'overtaken' END
           WHEN u.state = 'REJECTED' AND u.reason = 'target.invoiced' THEN 'credit_proposed'
           WHEN u.state IN ('REJECTED', 'CONFLICT') THEN 'held'
           WHEN v.outcome <> 'held' THEN 'under_way'
           WHEN EXISTS (SELECT FROM proposal p WHERE p.state = 'proposed' AND p.kind IN ('change.adjust', 'change.credited')
                        AND p.payload -> 'change_ids' ? c.change_id::text) THEN 'proposed'
           WHEN c.way = 'credit_and_rebill' THEN 'credit_proposed'
           WHEN c.way IN ('adjust', 'ask') AND NOT EXISTS (
               SELECT FROM verdict_reason r WHERE r.verdict_id = v.verdict_id AND r.severity = 'error'
                 AND r.code NOT IN ('time.period_closed', 'time.change_not_agreed')) THEN 'to_approve'
           ELSE 'held'
       END AS state
FROM posted_change c
JOIN time_entry t ON t.entry_id = c.entry_id
LEFT JOIN verdict v ON v.verdict_id = t.verdict_id
LEFT JOIN effect b ON b.business_key = c.standing_key
LEFT JOIN LATERAL (
    -- Of a split hour both lines are taken back: the one that is not yet speaks for both.
    SELECT u.state, u.reason FROM effect o
    JOIN effect u ON u.undoes_key = o.business_key AND u.kind = 'void' AND u.state <> 'WITHDRAWN'
    WHERE o.entry_id = c.entry_id AND o.noun = 'time_line' AND o.kind = 'book'
      AND (o.business_key = b.business_key
           OR o.part <> b.part AND o.posting_hash = b.posting_hash AND u.entry_version = c.version)
    ORDER BY u.state = 'CONFIRMED', o.business_key = b.business_key DESC LIMIT 1
) u ON true
CROSS JOIN LATERAL (
    SELECT (c.kind = 'late' OR u.state IS NOT DISTINCT FROM 'CONFIRMED')
           -- All that this version asked for is booked, whatever took it back since.
           AND c.new_seconds = (
               SELECT coalesce(sum(n.seconds), 0) FROM effect n
               WHERE n.entry_id = c.entry_id AND n.entry_version = c.version AND n.kind = 'book'
                 AND n.noun = 'time_line' AND n.state = 'CONFIRMED' AND n.business_key IS DISTINCT FROM c.standing_key
                 AND NOT EXISTS (SELECT FROM effect z WHERE z.undoes_key = n.business_key AND z.kind = 'void'
                                 AND z.state = 'CONFIRMED' AND z.verdict_id <= c.verdict_id))
               AS is_done,
           t.newest_version = c.version AND v.version = c.version
           AND (v.outcome IN ('correct', 'held') OR c.kind = 'late' AND v.outcome = 'cleared') AS is_current
) d;
