-- Waiting work is brought forward, never pushed back; running work is marked to run once more.
-- After an error the hold stays: impatience does not shorten a back-off.
INSERT INTO work_item (kind, subject, work_class, due_at, deadline, value_at_risk, correlation_id)
VALUES (%(kind)s, %(subject)s, %(work_class)s,
        coalesce(%(at)s::timestamptz, clock_timestamp()) + make_interval(secs => %(due_in_seconds)s), %(deadline)s, %(value_at_risk)s,
        %(correlation_id)s)
ON CONFLICT (kind, subject) WHERE state IN ('waiting', 'running') DO UPDATE SET
    due_at = CASE WHEN work_item.state = 'waiting'
                  THEN least(work_item.due_at, greatest(excluded.due_at, work_item.hold_until))
                  ELSE work_item.due_at END,
    work_class = least(work_item.work_class, excluded.work_class),
    deadline = least(work_item.deadline, excluded.deadline),
    value_at_risk = greatest(work_item.value_at_risk, excluded.value_at_risk),
    again_in_seconds = CASE WHEN work_item.state = 'running'
                            THEN least(work_item.again_in_seconds, %(due_in_seconds)s::integer) END,
    updated_at = clock_timestamp()
WHERE (work_item.state = 'running' AND (work_item.again_in_seconds IS NULL
                                        OR work_item.again_in_seconds > %(due_in_seconds)s::integer))
   OR (work_item.state = 'waiting' AND greatest(excluded.due_at, work_item.hold_until) < work_item.due_at)
   OR excluded.work_class < work_item.work_class
   OR excluded.deadline < coalesce(work_item.deadline, 'infinity')
   OR excluded.value_at_risk > work_item.value_at_risk
