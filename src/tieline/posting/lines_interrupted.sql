-- An INTENT that nobody is sending any more, or a probe that nobody finished, is UNKNOWN. The sender ended or lost
-- its lease before now, and a batch may have waited for its turn: what was sent may still commit until the target
-- has settled, counted from now. What is asked about was sent long before.
UPDATE effect SET state = 'UNKNOWN', reason = 'posting.interrupted',
    due_at = CASE state WHEN 'INTENT' THEN clock_timestamp() ELSE sent_at END
             + make_interval(secs => %(settle_seconds)s)
WHERE state IN ('INTENT', 'PROBING') AND business_key IN (
    SELECT u.business_key FROM unsettled_effect u
    WHERE u.target_connection = %(target)s AND u.entity_code = %(entity_code)s AND u.period_id = %(period_id)s
      AND u.noun = 'time_line' AND u.state IN ('INTENT', 'PROBING'))
