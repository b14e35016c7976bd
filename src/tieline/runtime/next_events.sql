-- The next event that may go out: the oldest waiting one of its aggregate, if it is due. Events of
-- one aggregate never overtake each other: a later one is not looked at while an earlier one waits,
-- not even while another worker holds that one locked.
SELECT o.outbox_id, e.event_uuid, e.type, e.subject_kind, e.subject_id, e.entity_code,
       e.occurred_at, e.recorded_at, e.correlation_id, e.data
FROM outbox o JOIN event e USING (event_id)
WHERE o.state = 'waiting' AND o.due_at <= clock_timestamp()
  AND NOT EXISTS (
      SELECT FROM outbox earlier
      WHERE earlier.state = 'waiting' AND earlier.aggregate = o.aggregate AND earlier.event_id < o.event_id)
ORDER BY o.due_at, o.outbox_id
LIMIT 1
FOR UPDATE OF o SKIP LOCKED
