-- Due work by class, and within a class by what is at risk against the time that is left. A class that is behind its
-- share goes first with so many items, its oldest before the rest, so that none starves; classes 2 and 3
-- never take the last slots, and one kind takes no more than its share: runs of a kind may wait for one another,
-- and what they wait beside must go on. A workflow id is never used twice.
WITH present AS (
    SELECT coalesce(%(at)s::timestamptz, clock_timestamp()) AS at
), candidate AS (
    SELECT w.* FROM unnest(%(kinds)s::text[]) AS k (kind)
    CROSS JOIN generate_series(0, 3) AS c (work_class)
    CROSS JOIN LATERAL (
        SELECT work_id, kind, work_class, deadline, value_at_risk, due_at
        FROM work_item
        WHERE state = 'waiting' AND due_at <= (SELECT at FROM present) AND kind = k.kind
          AND work_class = c.work_class
        ORDER BY {order}
        -- Some more than are taken: what is worth most need not be due first.
        LIMIT %(slots)s + 20
        FOR UPDATE SKIP LOCKED
    ) w
), aged AS (
    SELECT *, work_class = %(first_class)s
              AND row_number() OVER (PARTITION BY work_class ORDER BY due_at, work_id) <= %(first_slots)s AS is_first
    FROM candidate
), ordered AS (
    SELECT *, row_number() OVER (
        ORDER BY NOT is_first, work_class,
                 CASE WHEN deadline IS NOT NULL THEN
                     value_at_risk / greatest(60, extract(epoch FROM deadline - %(now)s::timestamptz))
                 END DESC NULLS LAST,
                 deadline NULLS LAST, due_at, work_id) AS place
    FROM aged
), running AS (
    SELECT kind, count(*) AS runs FROM work_item
    WHERE state = 'running' AND executor_id = %(executor_id)s GROUP BY kind
), ranked AS (
    SELECT o.*,
           row_number() OVER (PARTITION BY work_class >= 2 ORDER BY o.place) AS place_of_low,
           coalesce(r.runs, 0) + row_number() OVER (PARTITION BY kind ORDER BY o.place) AS runs_of_kind
    FROM ordered o LEFT JOIN running r USING (kind)
), chosen AS (
    SELECT work_id FROM ranked
    WHERE (work_class < 2 OR place_of_low <= %(low_slots)s) AND runs_of_kind <= %(kind_slots)s
    ORDER BY place
    LIMIT %(slots)s
)
UPDATE work_item w SET
    state = 'running', attempt = attempt + 1, executor_id = %(executor_id)s, again_in_seconds = NULL,
    workflow_id = w.kind || ':' || w.subject || ':' || w.work_id || '.' || (w.attempt + 1),
    updated_at = clock_timestamp()
FROM chosen WHERE w.work_id = chosen.work_id
RETURNING w.work_id, w.kind, w.subject, w.work_class, w.attempt, w.errors, w.workflow_id, w.correlation_id
