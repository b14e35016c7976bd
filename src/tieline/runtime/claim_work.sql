-- Due work by class, deadline and age. Every minute of waiting lifts an item by one class, so that
-- none starves; classes 2 and 3 never take the last slots, and one kind takes no more than its share: runs
-- of a kind may wait for one another, and what they wait beside must go on. A workflow id is never used twice.
WITH candidate AS (
    SELECT w.* FROM unnest(%(kinds)s::text[]) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT work_id, k.kind, work_class,
               work_class - floor(extract(epoch FROM clock_timestamp() - due_at) / 60) AS urgency,
               deadline, due_at
        FROM work_item
        WHERE state = 'waiting' AND due_at <= clock_timestamp() AND kind = k.kind
        ORDER BY urgency, deadline NULLS LAST, due_at
        LIMIT %(slots)s
        FOR UPDATE SKIP LOCKED
    ) w
), running AS (
    SELECT kind, count(*) AS runs FROM work_item
    WHERE state = 'running' AND executor_id = %(executor_id)s GROUP BY kind
), ranked AS (
    SELECT c.*,
           row_number() OVER (PARTITION BY work_class >= 2 ORDER BY urgency, deadline NULLS LAST, due_at) AS place,
           coalesce(r.runs, 0)
               + row_number() OVER (PARTITION BY kind ORDER BY urgency, deadline NULLS LAST, due_at) AS runs_of_kind
    FROM candidate c LEFT JOIN running r USING (kind)
), chosen AS (
    SELECT work_id FROM ranked
    WHERE (work_class < 2 OR place <= %(low_slots)s) AND runs_of_kind <= %(kind_slots)s
    ORDER BY urgency, deadline NULLS LAST, due_at
    LIMIT %(slots)s
)
UPDATE work_item w SET
    state = 'running', attempt = attempt + 1, executor_id = %(executor_id)s, again_in_seconds = NULL,
    workflow_id = w.kind || ':' || w.subject || ':' || w.work_id || '.' || (w.attempt + 1),
    updated_at = clock_timestamp()
FROM chosen WHERE w.work_id = chosen.work_id
RETURNING w.work_id, w.kind, w.subject, w.work_class, w.attempt, w.errors, w.workflow_id, w.correlation_id
