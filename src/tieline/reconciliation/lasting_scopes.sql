-- A source counts by month, a target by the fiscal period it was asked for; an hour that never came to us has no
-- legal entity here, but its project has.
SELECT j.entity_code, f.period_id, f.period_code, j.project_id, j.project_code,
       sum(d.theirs_seconds)::bigint AS theirs_seconds, sum(d.ours_seconds)::bigint AS ours_seconds
FROM conservation_difference d
JOIN (SELECT DISTINCT connection_key, source_ref, our_id FROM crosswalk
      WHERE noun = 'project' AND superseded_at IS NULL) x
    ON x.connection_key = d.connection_key AND x.source_ref = d.project_ref
JOIN project j ON j.project_id = x.our_id
JOIN fiscal_period f ON f.entity_code = j.entity_code
    AND CASE d.side WHEN 'target' THEN f.starts_on = d.month_on
                    ELSE f.starts_on < d.month_on + interval '1 month' AND f.ends_on > d.month_on END
WHERE d.side = %(side)s AND d.connection_key = %(connection_key)s AND d.checks >= %(checks)s
  AND d.entity_code IN ('', j.entity_code)
GROUP BY 1, 2, 3, 4, 5 HAVING sum(d.theirs_seconds) <> sum(d.ours_seconds)
ORDER BY 1, 3, 5
