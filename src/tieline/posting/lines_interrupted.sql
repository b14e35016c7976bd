-- An INTENT that nobody is sending any more, or a probe that nobody finished, is UNKNOWN; what was sent
-- may still commit until the target has settled.
UPDATE effect SET state = 'UNKNOWN', reason = 'posting.interrupted',
    due_at = sent_at + make_interval(secs => %(settle_seconds)s)
WHERE target_connection = %(target)s AND entity_code = %(entity_code)s AND period_id = %(period_id)s
  AND noun = 'time_line' AND state IN ('INTENT', 'PROBING')
