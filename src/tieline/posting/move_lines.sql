-- Move a set of effects along one edge; due instants are lease time.
UPDATE effect SET state = %(to)s, reason = %(reason)s,
    due_at = CASE WHEN %(due_in_seconds)s > 0
                  THEN clock_timestamp() + make_interval(secs => %(due_in_seconds)s) END,
    settled_at = CASE WHEN %(to)s IN ('CONFIRMED', 'REJECTED', 'CONFLICT') THEN clock_timestamp()
                      ELSE settled_at END
WHERE business_key = ANY (%(keys)s::uuid[]) AND state <> %(to)s
