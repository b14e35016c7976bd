-- Executors that left or were lost long ago and hold nothing.
DELETE FROM executor e WHERE executor_id IN (
    SELECT executor_id FROM executor
    WHERE state <> 'alive' AND heartbeat_at < clock_timestamp() - make_interval(secs => %(keep_seconds)s)
    LIMIT %(batch_max)s)
  AND NOT EXISTS (SELECT FROM work_item w WHERE w.executor_id = e.executor_id)
