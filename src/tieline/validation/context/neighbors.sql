person_day AS (
    SELECT DISTINCT person_key, person_id, connection_key, person_ref, work_date FROM counted
    WHERE is_counted AND work_date IS NOT NULL
), person_day_ref AS (
    -- Everybody's names in every source on that day.
    SELECT d.person_key, d.work_date, x.connection_key, x.source_ref AS person_ref
    FROM (SELECT DISTINCT person_key, person_id, work_date FROM person_day WHERE person_id IS NOT NULL) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN known_link x ON x.our_id = o.alias_id AND x.noun = 'person' AND x.valid @> d.work_date
    UNION
    SELECT person_key, work_date, connection_key, person_ref FROM person_day WHERE person_id IS NULL
), stored_member AS (
    SELECT r.person_key, r.work_date, v.entry_id, t.connection_key, t.source_ref, v.seconds, v.started_at,
           v.ended_at, v.created_at, v.narrative_hash, coalesce(v.project_ref, '') AS project_key,
           coalesce(v.task_ref, '') AS task_key
    FROM person_day_ref r
    CROSS JOIN LATERAL (
        SELECT * FROM time_entry_version v
        WHERE v.person_ref = r.person_ref AND v.work_date = r.work_date AND {newest}
          AND NOT v.is_deleted AND v.approval <> 'not_approved' OFFSET 0) v
    CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = v.entry_id OFFSET 0) t
    WHERE t.connection_key = r.connection_key AND v.entry_id NOT IN (SELECT entry_id FROM considered)
      AND NOT EXISTS (SELECT FROM exclusion x WHERE x.entry_id = v.entry_id AND x.recorded_at <= %(known_at)s OFFSET 0)
      -- What lies before the go-live is no neighbor, as it is none where it is judged with the others.
      AND NOT EXISTS (SELECT FROM verdict w WHERE w.verdict_id = t.verdict_id AND w.version = v.version
                      AND w.outcome = 'outside' OFFSET 0)
), member AS (
    SELECT m.person_key, m.work_date, m.entry_id, m.connection_key, m.source_ref, m.seconds, m.started_at,
           m.ended_at, m.created_at, m.narrative_hash,
           coalesce(j.our_id::text, m.connection_key || ':' || m.project_key) AS project_word,
           coalesce(k.our_id::text, m.connection_key || ':' || m.task_key) AS task_word,
           s.stands IS NOT NULL AS is_standing
    FROM stored_member m
    -- Hour by hour: a planner that expects one neighbor made the whole list anew for each of five thousand.
    LEFT JOIN LATERAL (
        SELECT true AS stands FROM effect e
        WHERE e.entry_id = m.entry_id AND e.noun = 'time_line' AND e.kind = 'book' AND {stands}
          AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                          AND {undone} OFFSET 0)
        LIMIT 1) s ON true
    -- By the one that its words mean, as where it is judged itself. Of links a planner expects few as well, and held
    -- each neighbor against every link of its source.
    LEFT JOIN LATERAL (
        SELECT (array_agg(x.our_id))[1] AS our_id FROM known_link x
        WHERE x.connection_key = m.connection_key AND x.noun = 'project' AND x.source_ref = m.project_key
          AND x.valid @> m.work_date
        HAVING count(DISTINCT x.our_id) = 1 OFFSET 0) j ON true
    LEFT JOIN LATERAL (
        SELECT CASE WHEN count(DISTINCT x.our_id) = 1 THEN (array_agg(x.our_id))[1] END AS our_id FROM known_link x
        WHERE x.connection_key = m.connection_key AND x.noun = 'task'
          AND x.source_ref IN (m.project_key || '/' || m.task_key, m.task_key) AND x.valid @> m.work_date
        GROUP BY x.source_ref ORDER BY x.source_ref = m.task_key LIMIT 1) k ON true
    UNION ALL
    SELECT c.person_key, c.work_date, c.entry_id, c.connection_key, c.source_ref, c.seconds, c.started_at,
           c.ended_at, c.created_at, c.narrative_hash,
           coalesce(c.project_id::text, c.connection_key || ':' || c.project_key),
           coalesce(c.any_task_id::text, c.connection_key || ':' || c.task_key), c.standing_count > 0
    FROM counted c
    WHERE c.is_counted AND c.work_date IS NOT NULL
), member_fact AS (
    SELECT entry_id, sum(seconds) OVER day AS day_seconds, count(*) OVER day AS day_count,
           count(*) OVER alike AS duplicate_count,
           row_number() OVER (alike ORDER BY is_standing DESC, created_at, length(source_ref),
                              source_ref COLLATE "C", connection_key COLLATE "C") AS duplicate_rank
    FROM member
    WINDOW day AS (PARTITION BY person_key, work_date),
           alike AS (PARTITION BY person_key, work_date, project_word, task_word, seconds, narrative_hash)
), overlap_fact AS (
    SELECT a.entry_id, count(*) AS overlap_count
    FROM member a
    JOIN member b ON b.person_key = a.person_key AND b.work_date = a.work_date AND b.entry_id <> a.entry_id
        AND b.started_at < a.ended_at AND a.started_at < b.ended_at
    GROUP BY a.entry_id
)
