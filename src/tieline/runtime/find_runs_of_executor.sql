-- The runs an executor holds, by our rows and by DBOS's: it may have died between the two.
SELECT workflow_id FROM work_item WHERE state = 'running' AND executor_id = %(id)s
UNION
SELECT workflow_uuid FROM dbos.workflow_status
WHERE status IN ('PENDING', 'ENQUEUED') AND executor_id = %(id)s AND name = 'tieline.work'
