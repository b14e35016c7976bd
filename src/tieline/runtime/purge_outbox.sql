-- That an event went out; the event itself is kept for ever.
DELETE FROM outbox WHERE outbox_id IN (
    SELECT outbox_id FROM outbox
    WHERE state = 'sent' AND sent_at < clock_timestamp() - make_interval(secs => %(keep_seconds)s)
    LIMIT %(batch_max)s)
