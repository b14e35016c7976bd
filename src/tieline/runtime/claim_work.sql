-- Due work by class, deadline and age. Every minute of waiting lifts an item by one class, so that
-- none starves; classes 2 and 3 never take the last slots. A run's workflow id is never used twice.
WITH candidate AS (
    SELECT work_id, work_class,
           work_class - floor(extract(epoch FROM clock_timestamp() - due_at) / 60) AS urgency,
           deadline, due_at
    FROM work_item
    WHERE state = 'waiting' AND due_at <= clock_timestamp() AND kind = ANY (%(kinds)s)
    ORDER BY urgency, deadline NULLS LAST, due_at
    LIMIT 200
    FOR UPDATE SKIP LOCKED
), ranked AS (
    SELECT work_id, urgency, deadline, due_at, work_class,
           row_number() OVER (PARTITION BY work_class >= 2 ORDER BY urgency, deadline NULLS LAST, due_at) AS place
    FROM candidate
), chosen AS (
    SELECT work_id FROM ranked
    WHERE work_class < 2 OR place <= %(low_slots)s
    ORDER BY urgency, deadline NULLS LAST, due_at
    LIMIT %(slots)s
)
UPDATE work_item w SET
    state = 'running', attempt = attempt + 1, executor_id = %(executor_id)s, again_in_seconds = NULL,
    workflow_id = w.kind || ':' || w.subject || ':' || w.work_id || '.' || (w.attempt + 1),
    updated_at = clock_timestamp()
FROM chosen WHERE w.work_id = chosen.work_id
RETURNING w.work_id, w.kind, w.subject, w.work_class, w.attempt, w.errors, w.workflow_id, w.correlation_id
