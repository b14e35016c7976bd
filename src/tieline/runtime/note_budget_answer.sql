-- The system is up: the breaker closes, and opens only for one probe after a wait that the system asked for.
-- One that was away is eased for as long as it was: its people come back at the same moment.
UPDATE connection_budget SET
    breaker = CASE WHEN %(seconds)s > 0 THEN 'open' ELSE 'closed' END,
    failures = 0, openings = 0, failing_since = NULL,
    open_until = CASE WHEN %(seconds)s > 0 THEN a.at + make_interval(secs => %(seconds)s) ELSE '-infinity' END,
    paused_until = CASE WHEN %(seconds)s > 0 THEN greatest(paused_until, a.at + make_interval(secs => %(seconds)s))
                        ELSE paused_until END,
    eased_until = CASE WHEN openings > 0 AND failing_since IS NOT NULL
        THEN greatest(eased_until, a.at + (a.at - failing_since)) ELSE eased_until END
FROM (SELECT coalesce(%(at)s::timestamptz, clock_timestamp()) AS at) a
WHERE connection_key = %(connection_key)s
