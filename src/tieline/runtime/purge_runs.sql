-- Ended runs of the durable engine, with their steps.
WITH ended AS MATERIALIZED (
    SELECT workflow_uuid FROM dbos.workflow_status
    WHERE status IN ('SUCCESS', 'ERROR', 'CANCELLED')
      AND updated_at < extract(epoch FROM clock_timestamp() - make_interval(secs => %(keep_seconds)s)) * 1000
    LIMIT %(batch_max)s
), steps AS (
    DELETE FROM dbos.operation_outputs WHERE workflow_uuid IN (SELECT workflow_uuid FROM ended)
)
DELETE FROM dbos.workflow_status WHERE workflow_uuid IN (SELECT workflow_uuid FROM ended)
