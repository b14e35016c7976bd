-- What of a target and legal entity is not confirmed and in no file, by why; a page of each by name.
SELECT * FROM (
SELECT x.why, count(*) OVER (PARTITION BY x.why)::int AS lines,
       coalesce(sum(x.seconds) OVER (PARTITION BY x.why), 0)::bigint AS seconds_in_all,
       row_number() OVER (PARTITION BY x.why ORDER BY x.work_date, x.business_key) AS place,
       x.business_key, x.work_date, x.seconds
FROM (
    SELECT e.business_key, v.work_date, abs(e.seconds) AS seconds,
           CASE WHEN e.state IN ('INTENT', 'UNKNOWN', 'PROBING') THEN 'unconfirmed'
                WHEN e.state = 'CONFLICT' THEN 'differs'
                WHEN e.state = 'HANDED_OVER' THEN 'in another file'
                WHEN e.kind = 'void' THEN 'to be taken back'
                WHEN EXISTS (SELECT FROM tieline.stops_over(e.connection_key, e.target_connection, e.entity_code,
                                                            e.period_id, e.project_id, e.noun))
                    THEN 'stopped by a check'
                ELSE 'waiting' END AS why
    FROM open_effect e
    JOIN verdict v ON v.verdict_id = e.verdict_id
    JOIN fiscal_period p ON p.period_id = e.period_id
    WHERE e.target_connection = %(target)s AND e.entity_code = %(entity_code)s
      AND (%(period_code)s::text IS NULL OR p.period_code = %(period_code)s)
      AND e.noun = 'time_line' AND e.kind IN ('book', 'void')
      AND e.state IN ('PLANNED', 'INTENT', 'UNKNOWN', 'PROBING', 'ABSENT', 'CONFLICT', 'HANDED_OVER')
      AND NOT e.business_key = ANY (%(given)s::uuid[])
) x
) y WHERE y.place <= %(limit)s
ORDER BY y.why = 'unconfirmed' DESC, y.why, y.place
