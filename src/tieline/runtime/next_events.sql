-- Take the next event that may go out to a connection: the oldest waiting one of its aggregate, if it
-- is due. Events of one aggregate never overtake each other: a later one is not looked at while an
-- earlier one waits. Taking it puts it off until a sender who says nothing more is taken for dead.
UPDATE outbox o SET due_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
FROM event e
WHERE e.event_id = o.event_id AND o.outbox_id = (
    SELECT n.outbox_id FROM outbox n
    JOIN connection c ON c.connection_key = n.connection_key AND c.mode = 'act' AND NOT c.paused
    WHERE n.connection_key = %(connection_key)s AND n.state = 'waiting' AND n.due_at <= clock_timestamp()
      AND NOT EXISTS (
          SELECT FROM outbox earlier
          WHERE earlier.state = 'waiting' AND earlier.connection_key = n.connection_key
            AND earlier.aggregate = n.aggregate AND earlier.event_id < n.event_id)
    ORDER BY n.due_at, n.outbox_id
    LIMIT 1
    FOR UPDATE OF n SKIP LOCKED)
RETURNING o.outbox_id, e.event_uuid, e.type, e.subject_kind, e.subject_id, e.entity_code,
          e.occurred_at, e.recorded_at, e.correlation_id, e.data
