agreed AS (
    -- What people agreed to do about this very version, and whether the periods it goes to still take it.
    SELECT a.entry_id, b.state AS booking_period_state, r.state AS reversal_period_state
    FROM (SELECT DISTINCT entry_id, version FROM considered) c
    JOIN adjustment a ON a.entry_id = c.entry_id AND a.version = c.version
        AND a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s)
    LEFT JOIN period_fact b ON b.period_id = a.booking_period_id
    LEFT JOIN period_fact r ON r.period_id = a.reversal_period_id
)
