-- A notice was taken. What was given up of the same kind before, to the same owner, is told with it.
WITH taken AS (
    UPDATE notice SET state = 'sent', sent_at = clock_timestamp(), last_error = NULL,
        receiver_code = %(receiver_code)s
    WHERE notice_key = %(notice_key)s AND state = 'sending'
    RETURNING kind, owner, connection_key, period_id, written_at
)
UPDATE notice n SET state = 'superseded'
FROM taken t
WHERE n.state = 'failed' AND n.kind = t.kind AND n.kind <> 'unconfirmed' AND n.owner = t.owner
  AND n.connection_key = t.connection_key AND n.written_at < t.written_at
  AND (n.kind = 'digest' OR n.period_id IS NOT DISTINCT FROM t.period_id)
