-- Take what is unknown and due to PROBING; a void asks for the line it took back, and what
-- stands against it for exactly so much.
UPDATE effect e SET state = 'PROBING'
WHERE e.state = 'UNKNOWN' AND e.business_key IN (
    SELECT business_key FROM unsettled_effect
    WHERE target_connection = %(target)s AND entity_code = %(entity_code)s AND period_id = %(period_id)s
      AND noun = 'time_line' AND state = 'UNKNOWN' AND (due_at IS NULL OR due_at <= clock_timestamp())
    ORDER BY deadline_at, amount DESC NULLS LAST, planned_at, business_key LIMIT %(limit)s
)
RETURNING e.business_key, e.attempt, e.kind, e.books_on, coalesce(e.reason = 'posting.probe_failed', false) AS was_tried, e.payload_hash, coalesce(e.undoes_key, e.business_key) AS asked_key,
          (SELECT l.target_seconds FROM ledger_line l WHERE l.business_key = e.undoes_key) AS undone_seconds
