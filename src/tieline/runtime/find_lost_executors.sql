-- Executors to look at: those whose lease ran out, and those of this host whose process may be gone.
-- Nothing is locked yet: most of them are well, and must be able to prolong their lease.
SELECT executor_id, pid, pid_started, version, host = %(host)s AS is_here,
       lease_until < clock_timestamp() AS has_run_out
FROM executor
WHERE state = 'alive' AND executor_id <> %(me)s
  AND (lease_until < clock_timestamp() OR host = %(host)s)
ORDER BY lease_until
