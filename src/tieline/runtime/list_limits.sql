-- Every limit, brought up to the present instant.
SELECT c.connection_key, c.name, c.kind, least(c.calls_max, coalesce(c.told_max, c.calls_max)) AS allowed,
       CASE WHEN c.kind = 'bucket' THEN c.calls_max - floor(n.tokens)::integer
            ELSE (SELECT sum(u) FROM unnest(n.used) u)::integer END AS used,
       c.window_seconds, c.every,
       CASE WHEN c.kind = 'quota' THEN ceil(extract(epoch FROM
           ((n.began + ('1 ' || c.every)::interval + make_interval(secs => c.resets_seconds)) AT TIME ZONE c.zone)
           - a.at))::integer ELSE 0 END AS resets_in_seconds,
       c.source
FROM connection_limit c
CROSS JOIN (SELECT coalesce(%(at)s::timestamptz, clock_timestamp()) AS at) a
CROSS JOIN LATERAL tieline.limit_at(c, a.at) n
ORDER BY c.connection_key, c.name
