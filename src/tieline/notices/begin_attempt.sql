-- Take a notice to send. Only where it can be sent an attempt begins; the address is that of this moment. An
-- attempt whose end nobody knows is left alone until its channel has settled, and then it is the same attempt.
WITH found AS (
    SELECT n.*, coalesce(r.address, f.email) AS address, c.mode = 'act' AND NOT c.paused AS can_send,
           CASE n.state WHEN 'sending' THEN
               greatest(0, ceil(extract(epoch FROM n.begun_at - clock_timestamp()) + c.settle_seconds))::integer
           ELSE 0 END AS settles_in_seconds
    FROM notice n JOIN connection c USING (connection_key)
    LEFT JOIN reach r USING (recipient, connection_key)
    -- Who delivers is reached where all of them are, at the address in the staffing file.
    LEFT JOIN reach a ON a.recipient = 'staff:all' AND a.connection_key = n.connection_key
    LEFT JOIN subject f ON f.subject_id = CASE WHEN starts_with(n.recipient, 'staff:') AND n.recipient <> a.recipient
                                               THEN substr(n.recipient, 7)::uuid END
    WHERE n.notice_key = %(notice_key)s AND n.state IN ('waiting', 'sending')
    FOR UPDATE OF n
), begun AS (
    UPDATE notice n SET state = 'sending', attempts = n.attempts + 1,
        tried_at = coalesce(n.tried_at, clock_timestamp()),
        begun_at = CASE n.state WHEN 'waiting' THEN clock_timestamp() ELSE n.begun_at END
    FROM found f WHERE n.notice_key = f.notice_key AND f.can_send AND f.address IS NOT NULL
        AND f.settles_in_seconds = 0
    RETURNING n.notice_key
)
SELECT f.notice_key, f.kind, f.recipient, f.connection_key, f.can_send, f.is_urgent, f.entity_code, f.subject,
       f.due_at, f.useful_until, f.written_at, f.attempts + 1 AS attempts, f.state = 'sending' AS was_lost,
       f.settles_in_seconds, f.body, f.address
FROM found f LEFT JOIN begun USING (notice_key)
