-- Writes that a target has not answered for longer than so many seconds, per target; lease time.
SELECT e.target_connection, c.system, sum(e.writes)::integer AS writes, min(e.sent_at) AS sent_at,
       min(e.due_at) AS due_at, max(e.asked_times)::integer AS asked_times,
       coalesce(jsonb_object_agg(e.currency, e.amount::text) FILTER (WHERE e.currency IS NOT NULL), '{}') AS amounts
FROM (
    SELECT target_connection, currency, count(*) AS writes, min(sent_at) AS sent_at, min(due_at) AS due_at,
           max(asked_times) AS asked_times, sum(abs(amount)) AS amount
    FROM open_effect
    WHERE state IN ('UNKNOWN', 'PROBING') AND entity_code = %(entity_code)s
      AND coalesce(period_id, %(period_id)s) = %(period_id)s
      AND sent_at < clock_timestamp() - make_interval(secs => %(seconds)s)
    GROUP BY target_connection, currency
) e JOIN connection c ON c.connection_key = e.target_connection
GROUP BY 1, 2 ORDER BY 1
