-- Who hears events, how many wait for each, and what was given up; what went out is forgotten after a while.
SELECT c.connection_key, c.mode, c.paused,
       count(o.*) FILTER (WHERE o.state = 'waiting')::integer AS waiting,
       count(o.*) FILTER (WHERE o.state = 'sent')::integer AS sent,
       count(o.*) FILTER (WHERE o.state = 'failed')::integer AS failed,
       min(o.queued_at) FILTER (WHERE o.state = 'waiting') AS waiting_since,
       max(o.sent_at) AS last_sent_at,
       max(o.last_error) AS last_error
FROM connection c LEFT JOIN outbox o ON o.connection_key = c.connection_key
WHERE c.kind = 'events' AND c.connection_key = coalesce(%(connection_key)s, c.connection_key)
GROUP BY c.connection_key ORDER BY c.connection_key
