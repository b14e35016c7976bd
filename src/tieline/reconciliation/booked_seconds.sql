-- What we booked into a target by project, and whether something is on its way there that nobody confirmed.
SELECT x.source_ref AS project_code, coalesce(b.seconds, 0)::bigint AS seconds, coalesce(m.is_moving, false) AS is_moving
FROM crosswalk x
LEFT JOIN LATERAL (
    SELECT sum(l.target_seconds) AS seconds FROM ledger_line l
    WHERE l.project_id = x.our_id AND l.target_connection = %(target)s AND l.entity_code = %(entity_code)s
      AND l.work_date >= %(starts_on)s AND l.work_date < %(ends_on)s
) b ON true
LEFT JOIN (
    SELECT DISTINCT e.project_id, true AS is_moving FROM open_effect e
    WHERE e.noun = 'time_line' AND e.target_connection = %(target)s
      AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'HANDED_OVER')
) m ON m.project_id = x.our_id
WHERE x.connection_key = %(target)s AND x.noun = 'project' AND x.superseded_at IS NULL
