-- What the source counts beside what stands in the five places, hour by hour, then by legal entity, month and
-- project. Approved hours from before the start are in no place and are counted with them here. Apart stands
-- what the source did not show (it is being looked for), what it showed in an older state than it told before,
-- and what another read has brought meanwhile. An hour without a date is of the first month of all.
CREATE TEMP TABLE compared ON COMMIT DROP AS
WITH asked AS (
    SELECT DISTINCT ON (object, source_ref) object, source_ref, coalesce(project_ref, '') AS project_ref, work_date,
           seconds, source_at
    FROM asked_hour ORDER BY object, source_ref, source_at DESC NULLS LAST, told DESC
), ours AS (
    SELECT t.object, t.source_ref, coalesce(w.project_ref, '') AS project_ref, w.work_date, w.source_at,
           coalesce(p.entity_code, '') AS entity_code,
           CASE WHEN p.place IN ('pending', 'held', 'handed_over', 'posted', 'excluded')
                  OR (p.place = 'outside' AND p.because = 'before_go_live') THEN p.seconds ELSE 0 END AS seconds,
           w.recorded_at >= %(began_at)s AND w.batch_id <> ALL (%(batch_ids)s::bigint[]) AS is_newer
    FROM time_entry t
    JOIN connection c ON c.connection_key = t.connection_key AND c.source_epoch = t.source_epoch
    JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
    JOIN entry_place p ON p.entry_id = t.entry_id
    WHERE t.connection_key = %(connection_key)s
), paired AS (
    SELECT coalesce(o.entity_code, '') AS entity_code, a.source_ref IS NOT NULL AS is_asked,
           o.source_ref IS NOT NULL AS is_ours, a.project_ref AS asked_project, o.project_ref AS our_project,
           date_trunc('month', coalesce(a.work_date, '0001-01-01'))::date AS asked_month,
           date_trunc('month', coalesce(o.work_date, '0001-01-01'))::date AS our_month,
           a.seconds AS asked_seconds, o.seconds AS our_seconds,
           o.source_ref IS NOT NULL AND (a.source_ref IS NULL OR o.is_newer OR coalesce(a.source_at < o.source_at, false))
               AS is_apart
    FROM asked a FULL JOIN ours o ON o.object = a.object AND o.source_ref = a.source_ref
)
SELECT entity_code, month_on, project_ref, sum(theirs)::bigint AS theirs_seconds, sum(ours)::bigint AS ours_seconds,
       sum(apart)::bigint AS apart_seconds, false AS is_moving
FROM (
    SELECT entity_code, asked_month AS month_on, asked_project AS project_ref, asked_seconds AS theirs, 0 AS ours,
           0 AS apart
    FROM paired WHERE is_asked AND NOT is_apart
    UNION ALL
    SELECT entity_code, our_month, our_project, 0, our_seconds, 0 FROM paired WHERE is_ours AND NOT is_apart
    UNION ALL
    SELECT entity_code, our_month, our_project, 0, 0, greatest(asked_seconds, our_seconds) FROM paired WHERE is_apart
) x GROUP BY 1, 2, 3
