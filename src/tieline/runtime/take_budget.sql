-- Grant one call, or tell the whole seconds until it is worth asking again. The ring keeps the last
-- limit_max grants; a call may go when the grant it would overwrite has left the window, and a less
-- urgent class looks further ahead, so that it leaves room. Who waited two windows looks no further.
WITH budget AS MATERIALIZED (
    SELECT *, clock_timestamp() AS now,
           CASE WHEN %(waited_seconds)s > 2 * window_seconds THEN 0
                ELSE limit_max * %(reserved_percent)s / 100 END AS reserved
    FROM connection_budget WHERE connection_key = %(connection_key)s
    FOR UPDATE
), look AS (
    SELECT *, coalesce(grants[1 + ((granted + reserved) %% limit_max)::integer], '-infinity')
              + make_interval(secs => window_seconds) AS free_at
    FROM budget
), answer AS (
    SELECT *, CASE
        WHEN paused_until > now THEN paused_until
        WHEN breaker <> 'closed' AND open_until > now THEN open_until
        WHEN free_at > now THEN free_at
    END AS wait_until
    FROM look
), granting AS (
    UPDATE connection_budget b SET
        grants[1 + (a.granted %% a.limit_max)::integer] = a.now,
        granted = a.granted + 1,
        -- An open breaker lets one call through; the next may go when this one surely has ended.
        breaker = CASE WHEN a.breaker = 'open' THEN 'half_open' ELSE a.breaker END,
        open_until = CASE WHEN a.breaker = 'closed' THEN a.open_until
                          ELSE a.now + make_interval(secs => %(probe_seconds)s) END
    FROM answer a
    WHERE b.connection_key = a.connection_key AND a.wait_until IS NULL
)
SELECT CASE WHEN wait_until IS NULL THEN 0
            ELSE greatest(1, ceil(extract(epoch FROM wait_until - now)))::integer END AS wait_seconds,
       wait_until IS NULL AND breaker <> 'closed' AS is_probe
FROM answer
