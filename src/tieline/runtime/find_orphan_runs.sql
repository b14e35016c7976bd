-- Runs that no living executor holds, of whatever version. A transaction-level lock makes one
-- watchdog at a time do it.
WITH mine AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(7146254640) AS is_mine),
orphan AS (
    SELECT workflow_id FROM work_item w
    WHERE state = 'running'
      AND NOT EXISTS (SELECT FROM executor e WHERE e.executor_id = w.executor_id AND e.state = 'alive')
    UNION
    SELECT workflow_uuid FROM dbos.workflow_status s
    WHERE status IN ('PENDING', 'ENQUEUED') AND name = 'tieline.work'
      AND NOT EXISTS (SELECT FROM executor e WHERE e.executor_id = s.executor_id AND e.state = 'alive')
)
SELECT workflow_id FROM orphan, mine WHERE is_mine LIMIT 500
