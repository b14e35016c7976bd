-- Runs whose executor was lost wait again; their next run has the next attempt's workflow id.
UPDATE work_item SET
    state = 'waiting', due_at = clock_timestamp(), executor_id = NULL, again_in_seconds = NULL,
    last_error = %(because)s, updated_at = clock_timestamp()
WHERE workflow_id = ANY (%(workflow_ids)s) AND state = 'running'
RETURNING work_id, kind, subject, workflow_id, correlation_id
