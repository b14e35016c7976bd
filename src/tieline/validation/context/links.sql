considered AS (
    SELECT j.*, coalesce(j.work_date, (%(known_at)s::timestamptz AT TIME ZONE 'UTC')::date) AS on_date,
           -- The Monday of its week: 1 January 2001 was one.
           j.work_date - mod(mod(j.work_date - date '2001-01-01', 7) + 7, 7) AS week_on,
           coalesce(j.project_ref, '') AS project_key, coalesce(j.task_ref, '') AS task_key
    FROM judging_subject j
), known_link AS NOT MATERIALIZED (
    SELECT connection_key, noun, source_ref, our_id, scope, daterange(starts_on, ends_on) AS valid
    FROM crosswalk
    WHERE recorded_at <= %(known_at)s AND (superseded_at IS NULL OR superseded_at > %(known_at)s)
), one_person AS NOT MATERIALIZED (
    -- Who was merged is read as the one who stays.
    SELECT person_id AS alias_id, coalesce(redirect_to, person_id) AS person_id FROM person
), person_link AS (
    SELECT d.connection_key, d.person_ref, d.on_date, count(DISTINCT o.person_id) AS person_count,
           CASE WHEN count(DISTINCT o.person_id) = 1 THEN (array_agg(o.person_id))[1] END AS person_id
    FROM (SELECT DISTINCT connection_key, person_ref, on_date FROM considered) d
    JOIN known_link x ON x.connection_key = d.connection_key AND x.noun = 'person'
        AND x.source_ref = d.person_ref AND x.valid @> d.on_date
    JOIN one_person o ON o.alias_id = x.our_id
    GROUP BY d.connection_key, d.person_ref, d.on_date
), project_link AS (
    SELECT d.connection_key, d.project_key, d.on_date, count(DISTINCT x.our_id) AS project_count,
           CASE WHEN count(DISTINCT x.our_id) = 1 THEN (array_agg(x.our_id))[1] END AS project_id
    FROM (SELECT DISTINCT connection_key, project_key, on_date FROM considered) d
    JOIN known_link x ON x.connection_key = d.connection_key AND x.noun = 'project'
        AND x.source_ref = d.project_key AND x.valid @> d.on_date
    GROUP BY d.connection_key, d.project_key, d.on_date
), task_pair AS (
    SELECT DISTINCT connection_key, project_key, task_key, on_date FROM considered WHERE task_ref IS NOT NULL
), task_link AS (
    -- A task may be shared by projects in the source: the pair of both beats the task alone. Each is looked up by
    -- itself: asked for together, every pair would be held against every task.
    SELECT DISTINCT ON (connection_key, project_key, task_key, on_date)
           connection_key, project_key, task_key, on_date, task_count, task_id
    FROM (
        SELECT connection_key, project_key, task_key, on_date, distance, count(DISTINCT our_id) AS task_count,
               CASE WHEN count(DISTINCT our_id) = 1 THEN (array_agg(our_id))[1] END AS task_id
        FROM (
            SELECT d.*, 0 AS distance, x.our_id
            FROM task_pair d JOIN known_link x ON x.connection_key = d.connection_key AND x.noun = 'task'
                AND x.source_ref = d.project_key || '/' || d.task_key AND x.valid @> d.on_date
            UNION ALL
            SELECT d.*, 1 AS distance, x.our_id
            FROM task_pair d JOIN known_link x ON x.connection_key = d.connection_key AND x.noun = 'task'
                AND x.source_ref = d.task_key AND x.valid @> d.on_date
        ) found
        GROUP BY connection_key, project_key, task_key, on_date, distance
    ) ranked
    ORDER BY connection_key, project_key, task_key, on_date, distance
)
