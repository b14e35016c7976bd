-- Open the breaker after so many failures in a row, or at once when the probe of a half-open one
-- failed; each opening lasts twice as long, with jitter, up to a cap.
UPDATE connection_budget SET
    failures = failures + 1,
    failing_since = coalesce(failing_since, a.at),
    breaker = CASE WHEN breaker = 'half_open' OR failures + 1 >= %(failures_max)s THEN 'open' ELSE breaker END,
    openings = CASE WHEN breaker = 'half_open' OR failures + 1 = %(failures_max)s THEN least(openings + 1, 16)
                    ELSE openings END,
    open_until = CASE WHEN breaker = 'half_open' OR failures + 1 >= %(failures_max)s
        THEN a.at + make_interval(secs =>
            (0.5 + random() / 2) * least(%(seconds_max)s, %(first_seconds)s * power(2, openings)))
        ELSE open_until END
FROM (SELECT coalesce(%(at)s::timestamptz, clock_timestamp()) AS at) a
WHERE connection_key = %(connection_key)s
