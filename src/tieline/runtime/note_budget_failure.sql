-- Open the breaker after so many failures in a row, or at once when the probe of a half-open one
-- failed; each opening lasts twice as long, with jitter, up to a cap.
UPDATE connection_budget SET
    failures = failures + 1,
    breaker = CASE WHEN breaker = 'half_open' OR failures + 1 >= %(failures_max)s THEN 'open' ELSE breaker END,
    openings = CASE WHEN breaker = 'half_open' OR failures + 1 = %(failures_max)s THEN least(openings + 1, 16)
                    ELSE openings END,
    open_until = CASE WHEN breaker = 'half_open' OR failures + 1 >= %(failures_max)s
        THEN clock_timestamp() + make_interval(secs =>
            (0.5 + random() / 2) * least(%(seconds_max)s, %(first_seconds)s * power(2, openings)))
        ELSE open_until END
WHERE connection_key = %(connection_key)s
