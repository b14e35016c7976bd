-- What becomes of each hour that was judged and weighed.
summed AS (
    SELECT entry_id, bool_or(severity = 'error') AS has_error, bool_or(severity = 'park') AS has_park,
           array_agg(code || '=' || severity ORDER BY code) AS reasons
    FROM weighed GROUP BY entry_id
), decided AS (
    SELECT j.*, coalesce(s.reasons, '{}') AS reasons,
           CASE
               WHEN j.is_leaving THEN CASE WHEN s.has_error THEN 'held' ELSE 'correct' END
               WHEN j.is_excluded AND NOT j.is_deleted AND j.approval <> 'not_approved' THEN 'excluded'
               WHEN NOT j.is_counted THEN 'outside'
               WHEN s.has_error THEN 'held'
               WHEN s.has_park THEN 'parked'
               WHEN j.standing_count > 0 AND NOT j.is_posted_unchanged THEN 'correct'
               ELSE 'cleared'
           END AS outcome
    FROM judged j LEFT JOIN summed s ON s.entry_id = j.entry_id
)
