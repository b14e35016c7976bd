-- An INTENT that nobody is sending any more, or a probe that nobody finished, is UNKNOWN.
UPDATE effect SET state = 'UNKNOWN', reason = 'posting.interrupted', due_at = NULL
WHERE target_connection = %(target)s AND entity_code = %(entity_code)s AND period_id = %(period_id)s
  AND noun = 'time_line' AND state IN ('INTENT', 'PROBING')
