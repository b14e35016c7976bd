-- Only the run that still holds the item may finish it. Being asked for meanwhile outweighs the
-- outcome, except that a back-off after an error is kept.
UPDATE work_item SET
    state = CASE WHEN again_in_seconds IS NOT NULL THEN 'waiting' ELSE %(state)s END,
    due_at = coalesce(%(at)s::timestamptz, clock_timestamp()) + make_interval(secs => CASE
        WHEN %(hold)s OR again_in_seconds IS NULL THEN %(due_in_seconds)s
        WHEN %(state)s = 'waiting' THEN least(again_in_seconds, %(due_in_seconds)s)
        ELSE again_in_seconds END),
    hold_until = CASE WHEN %(hold)s THEN coalesce(%(at)s::timestamptz, clock_timestamp()) + make_interval(secs => %(due_in_seconds)s)
                      ELSE '-infinity' END,
    errors = CASE WHEN %(hold)s THEN errors + 1 ELSE 0 END,
    last_error = %(error)s, again_in_seconds = NULL, executor_id = NULL, updated_at = clock_timestamp()
WHERE work_id = %(work_id)s AND workflow_id = %(workflow_id)s AND state = 'running'
RETURNING state
