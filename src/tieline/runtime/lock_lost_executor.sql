-- Take a lost executor for ourselves: not when another watchdog has it, nor when it came back.
SELECT executor_id FROM executor
WHERE executor_id = %(id)s AND state = 'alive'
  AND (lease_until < clock_timestamp() OR NOT %(has_run_out)s)
FOR UPDATE SKIP LOCKED
