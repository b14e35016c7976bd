-- An INTENT that nobody is sending any more, or a probe that nobody finished, is UNKNOWN. The sender ended or lost
-- its lease before now, and a batch may have waited for its turn: what was sent may still commit until the target
-- has settled, counted from now. What is asked about was sent long before.
UPDATE effect SET state = 'UNKNOWN', reason = 'posting.interrupted',
    due_at = CASE state WHEN 'INTENT' THEN clock_timestamp() ELSE sent_at END
             + make_interval(secs => %(settle_seconds)s)
WHERE target_connection = %(target)s AND entity_code = %(entity_code)s AND period_id = %(period_id)s
  AND noun = 'time_line' AND state IN ('INTENT', 'PROBING')
