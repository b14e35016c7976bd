-- How much each violation weighs, also one that is ignored: by the narrowest override that holds on the work date,
-- else by the rule.
-- What was parked longer than it may be is held: nothing waits without an end.
SELECT j.entry_id, x.code,
       CASE WHEN coalesce(o.severity, r.severity) = 'park' AND %(now)s::timestamptz >=
                 greatest(greatest(j.recorded_at, j.project_recorded_at)
                          + make_interval(secs => coalesce(j.policy_park_seconds, 3600)), j.at_risk_until)
            THEN 'error' ELSE coalesce(o.severity, r.severity) END AS severity, o.override_id
FROM judged j
CROSS JOIN LATERAL unnest(j.violations) AS x (code)
JOIN rule r ON r.release_id = %(release_id)s AND r.book = 'time' AND r.code = x.code
LEFT JOIN LATERAL (
    SELECT o.severity, o.override_id FROM severity_override o
    WHERE o.release_id = %(release_id)s AND o.code = r.code
      AND (o.entity_code IS NULL OR o.entity_code = j.entity_code)
      AND (o.client_id IS NULL OR o.client_id = j.client_id)
      AND (o.contract_id IS NULL OR o.contract_id = j.contract_id)
      AND daterange(o.starts_on, o.ends_on) @> coalesce(j.work_date, j.today_on)
    ORDER BY (o.contract_id IS NOT NULL) DESC, (o.client_id IS NOT NULL) DESC,
             (o.entity_code IS NOT NULL) DESC, o.override_id DESC
    LIMIT 1
) o ON true
