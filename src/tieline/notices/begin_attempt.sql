-- Take a notice to send. Only where it can be sent an attempt begins; the address is that of this moment.
WITH found AS (
    SELECT n.*, r.address, c.mode = 'act' AND NOT c.paused AS can_send
    FROM notice n JOIN connection c USING (connection_key)
    LEFT JOIN reach r USING (recipient, connection_key)
    WHERE n.notice_key = %(notice_key)s AND n.state IN ('waiting', 'sending')
    FOR UPDATE OF n
), begun AS (
    UPDATE notice n SET state = 'sending', attempts = n.attempts + 1,
        tried_at = coalesce(n.tried_at, clock_timestamp())
    FROM found f WHERE n.notice_key = f.notice_key AND f.can_send AND f.address IS NOT NULL
    RETURNING n.notice_key
)
SELECT f.notice_key, f.kind, f.recipient, f.connection_key, f.can_send, f.is_urgent, f.entity_code, f.subject,
       f.due_at, f.useful_until, f.written_at, f.attempts + 1 AS attempts, f.state = 'sending' AS was_lost, f.body,
       f.address
FROM found f LEFT JOIN begun USING (notice_key)
