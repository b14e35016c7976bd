-- Old and new keys of what a batch changed: the entry, its person's day and week, the
-- rest before the next day, and the cap it counts to. An hour that was
-- never judged needs no mark of its own: nothing of it can be sent, and the judge of its batch takes it up.
-- The hours of a batch name few people, projects and days: each name is looked up once. Days are compared and
-- no ranges: of few links a planner looked through the ranges of all.
WITH changed AS (
    SELECT w.entry_id, t.connection_key, w.person_ref, w.project_ref, w.work_date, w.started_at, w.narrative_hash,
           t.verdict_id
    FROM time_entry_version w JOIN time_entry t ON t.entry_id = w.entry_id
    WHERE w.batch_id = %(batch_id)s AND w.is_newest
), named_person AS MATERIALIZED (
    SELECT DISTINCT connection_key, person_ref, work_date, started_at IS NOT NULL AS has_clock FROM changed
    WHERE work_date IS NOT NULL
), known AS (
    SELECT c.work_date, c.has_clock, coalesce(p.redirect_to, p.person_id) AS person_id,
           coalesce(coalesce(p.redirect_to, p.person_id)::text, c.connection_key || ':' || c.person_ref) AS person_key
    FROM named_person c
    LEFT JOIN crosswalk x ON x.connection_key = c.connection_key AND x.noun = 'person'
        AND x.source_ref = c.person_ref AND x.superseded_at IS NULL
        AND x.starts_on <= c.work_date AND (x.ends_on IS NULL OR x.ends_on > c.work_date)
    LEFT JOIN person p ON p.person_id = x.our_id
), named_project AS MATERIALIZED (
    SELECT DISTINCT connection_key, project_ref, work_date,
           coalesce(work_date, (%(now)s::timestamptz AT TIME ZONE 'UTC')::date) AS on_date
    FROM changed WHERE project_ref IS NOT NULL
), placed AS (
    -- Whose project is told twice belongs to no contract, and shares nothing with anybody.
    SELECT c.work_date, k.contract_id, k.client_id, p.project_id, c.connection_key, c.project_ref
    FROM named_project c
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT x.our_id) AS projects, (array_agg(x.our_id))[1] AS project_id FROM crosswalk x
        WHERE x.connection_key = c.connection_key AND x.noun = 'project' AND x.source_ref = c.project_ref
          AND x.superseded_at IS NULL
          AND x.starts_on <= c.on_date AND (x.ends_on IS NULL OR x.ends_on > c.on_date)
    ) l
    JOIN project p ON p.project_id = l.project_id
    JOIN contract k ON k.contract_id = p.contract_id
    WHERE l.projects = 1
), keys AS (
    SELECT 'entry:' || entry_id AS neighbor_key FROM changed WHERE verdict_id IS NOT NULL
    UNION
    SELECT 'person-day:' || person_key || ':' || work_date FROM known
    UNION
    -- Only of whom a pattern is told is the week looked at, and only what has a clock has a rest before it.
    SELECT 'person-week:' || person_key || ':' || date_trunc('week', work_date)::date FROM known
    WHERE person_id IN (SELECT w.person_id FROM work_pattern w)
    UNION
    SELECT 'person-rest:' || person_key || ':' || (work_date + n) FROM known CROSS JOIN generate_series(0, 1) n
    WHERE has_clock
    UNION
    SELECT left(k, -10) || (right(k, 10)::date + 1) FROM changed c JOIN verdict v ON v.verdict_id = c.verdict_id
    CROSS JOIN LATERAL unnest(v.neighbor_keys) k
    WHERE k LIKE 'person-rest:%%'
    UNION
    SELECT k FROM changed c JOIN verdict v ON v.verdict_id = c.verdict_id
    CROSS JOIN LATERAL unnest(v.neighbor_keys) k
    WHERE split_part(k, ':', 1) <> ALL (%(apart)s::text[])
    UNION
    SELECT 'cap:' || p.contract_id FROM placed p
    JOIN contract_version k ON k.contract_id = p.contract_id AND k.superseded_at IS NULL
    WHERE k.cap_amount IS NOT NULL
       OR EXISTS (SELECT FROM spending_limit l WHERE l.contract_id = p.contract_id AND l.superseded_at IS NULL)
       OR EXISTS (SELECT FROM purchase_order o WHERE o.contract_id = p.contract_id AND o.superseded_at IS NULL)
    UNION
    SELECT 'client-cap:' || coalesce(n.redirect_to, n.client_id) FROM placed p
    JOIN client n ON n.client_id = p.client_id
    JOIN client o ON coalesce(o.redirect_to, o.client_id) = coalesce(n.redirect_to, n.client_id)
    JOIN spending_limit l ON l.client_id = o.client_id AND l.superseded_at IS NULL
    UNION
    SELECT 'matter-day:' || p.contract_id || ':' || p.work_date FROM placed p
    WHERE EXISTS (SELECT FROM client_guideline g WHERE g.people_day_max IS NOT NULL)
    UNION
    SELECT 'text:' || coalesce(coalesce(p.redirect_to, p.person_id)::text, c.connection_key || ':' || c.person_ref)
           || ':' || encode(c.narrative_hash, 'hex')
    FROM changed c
    LEFT JOIN crosswalk x ON x.connection_key = c.connection_key AND x.noun = 'person'
        AND x.source_ref = c.person_ref AND x.superseded_at IS NULL
        AND x.starts_on <= c.work_date AND (x.ends_on IS NULL OR x.ends_on > c.work_date)
    LEFT JOIN person p ON p.person_id = x.our_id
    WHERE EXISTS (SELECT FROM client_guideline g WHERE g.same_text_days_max IS NOT NULL)
    UNION
    SELECT 'planned:' || coalesce(p.redirect_to, p.person_id) || ':' || c.project_id FROM placed c
    JOIN changed w ON w.connection_key = c.connection_key AND w.project_ref = c.project_ref
        AND w.work_date IS NOT DISTINCT FROM c.work_date
    JOIN crosswalk x ON x.connection_key = w.connection_key AND x.noun = 'person'
        AND x.source_ref = w.person_ref AND x.superseded_at IS NULL
    JOIN person p ON p.person_id = x.our_id
    WHERE EXISTS (SELECT FROM assignment a WHERE a.planned_seconds IS NOT NULL)
)
INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at, batch_id)
SELECT neighbor_key, 'entry.changed', %(correlation_id)s, %(now)s, %(batch_id)s
FROM keys WHERE neighbor_key IS NOT NULL
