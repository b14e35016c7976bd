-- Per channel what was given up, or was tried in vain for a while; and per owner what nobody could be told.
SELECT n.connection_key, CASE WHEN n.connection_key IS NULL THEN n.owner END AS owner,
       count(*)::integer AS notices,
       (array_agg(n.notice_key::text ORDER BY n.written_at DESC))[:%(members_max)s] AS members,
       array_agg(DISTINCT n.last_error) FILTER (WHERE n.last_error IS NOT NULL) AS errors
FROM notice n
WHERE n.state = 'failed'
   OR (n.state IN ('waiting', 'sending')
       AND (n.last_error = 'call.ask_person'
            OR n.tried_at < clock_timestamp() - make_interval(secs => %(seconds)s)))
GROUP BY 1, 2 ORDER BY 1, 2
