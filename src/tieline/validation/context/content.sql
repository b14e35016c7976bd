-- What clients, projects and people are held to beside contract and assignment. Where a firm told nothing of a
-- thing its table is empty, and the step costs nothing; keys are looked up once each, never hour by hour.
-- One client of ours may be several that were merged: two rows of guidelines are counted, and an "_ambiguous"
-- rule reads the count.
guideline AS (
    SELECT coalesce(l.redirect_to, l.client_id) AS one_client_id, daterange(g.starts_on, g.ends_on) AS valid, g.*
    FROM client_guideline g JOIN client l ON l.client_id = g.client_id
    WHERE g.recorded_at <= %(known_at)s AND (g.superseded_at IS NULL OR g.superseded_at > %(known_at)s)
), told_code AS (
    SELECT coalesce(l.redirect_to, l.client_id) AS one_client_id, daterange(g.starts_on, g.ends_on) AS valid,
           g.activity_code
    FROM client_code g JOIN client l ON l.client_id = g.client_id
    WHERE g.recorded_at <= %(known_at)s AND (g.superseded_at IS NULL OR g.superseded_at > %(known_at)s)
), told_word AS (
    SELECT coalesce(l.redirect_to, l.client_id) AS one_client_id, daterange(g.starts_on, g.ends_on) AS valid, g.word
    FROM client_word g JOIN client l ON l.client_id = g.client_id
    WHERE g.recorded_at <= %(known_at)s AND (g.superseded_at IS NULL OR g.superseded_at > %(known_at)s)
), told_timekeeper AS (
    SELECT coalesce(l.redirect_to, l.client_id) AS one_client_id, o.person_id, g.labor_category,
           daterange(g.starts_on, g.ends_on) AS valid
    FROM timekeeper g JOIN client l ON l.client_id = g.client_id JOIN one_person o ON o.alias_id = g.person_id
    WHERE g.recorded_at <= %(known_at)s AND (g.superseded_at IS NULL OR g.superseded_at > %(known_at)s)
), client_told AS (
    SELECT d.client_id, d.on_date, g.*, w.pattern AS word_pattern,
           EXISTS (SELECT FROM told_code k WHERE k.one_client_id = d.client_id AND k.valid @> d.on_date) AS has_codes,
           EXISTS (SELECT FROM told_timekeeper k WHERE k.one_client_id = d.client_id AND k.valid @> d.on_date)
               AS has_timekeepers
    FROM (SELECT DISTINCT client_id, on_date FROM counted WHERE client_id IS NOT NULL) d
    LEFT JOIN LATERAL (
        SELECT count(*) AS guideline_count, max(g.narrative_length_min) AS narrative_length_min,
               min(g.narrative_length_max) AS narrative_length_max, max(g.narrative_words_min) AS narrative_words_min,
               min(g.narrative_tasks_max) AS narrative_tasks_max, min(g.narrative_language) AS wanted_language,
               min(g.same_text_days_max) AS same_text_days_max,
               coalesce(bool_or(g.forbids_contact_data), false) AS forbids_contact_data,
               min(g.person_day_minutes_max) AS person_day_minutes_max, min(g.people_day_max) AS people_day_max,
               bool_and(g.bills_travel) AS bills_travel, bool_and(g.bills_administration) AS bills_administration,
               bool_and(g.bills_training) AS bills_training
        FROM guideline g WHERE g.one_client_id = d.client_id AND g.valid @> d.on_date
    ) g ON true
    LEFT JOIN LATERAL (
        SELECT tieline.words_pattern(VARIADIC array_agg(DISTINCT w.word)) AS pattern
        FROM told_word w WHERE w.one_client_id = d.client_id AND w.valid @> d.on_date
        HAVING count(*) > 0
    ) w ON true
), timekeeper_fact AS (
    SELECT d.client_id, d.person_id, d.on_date, count(k.person_id) AS timekeeper_count,
           CASE WHEN count(k.person_id) = 1 THEN min(k.labor_category) END AS timekeeper_category
    FROM (SELECT DISTINCT c.client_id, c.person_id, c.on_date FROM counted c
          JOIN client_told g ON g.client_id = c.client_id AND g.on_date = c.on_date AND g.has_timekeepers
          WHERE c.person_id IS NOT NULL) d
    JOIN told_timekeeper k ON k.one_client_id = d.client_id AND k.person_id = d.person_id AND k.valid @> d.on_date
    GROUP BY d.client_id, d.person_id, d.on_date
), task_told AS (
    -- Of a project's task: its code, whether it is closed, and what its narrowest control says.
    SELECT d.project_id, d.task_name, d.labor_category, d.on_date, k.activity_code, k.activity_kind, k.is_allowable,
           EXISTS (SELECT FROM task_code a WHERE a.project_id = d.project_id
                   AND a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s))
               AS has_task_codes,
           EXISTS (SELECT FROM closed_for_time z WHERE z.project_id = d.project_id AND z.task_name IN ('', d.task_name)
                   AND daterange(z.starts_on, z.ends_on) @> d.on_date
                   AND z.recorded_at <= %(known_at)s AND (z.superseded_at IS NULL OR z.superseded_at > %(known_at)s))
               AS is_closed_for_time,
           h.has_charge_controls, h.may_charge
    FROM (SELECT DISTINCT project_id, coalesce(task_name, '') AS task_name,
                 coalesce(labor_category, '') AS labor_category, on_date
          FROM counted WHERE project_id IS NOT NULL) d
    LEFT JOIN task_code k ON k.project_id = d.project_id AND k.task_name = d.task_name
        AND daterange(k.starts_on, k.ends_on) @> d.on_date
        AND k.recorded_at <= %(known_at)s AND (k.superseded_at IS NULL OR k.superseded_at > %(known_at)s)
    LEFT JOIN LATERAL (
        -- Where one control allows, what none names is not allowed; where all forbid, the rest stays open.
        SELECT true AS has_charge_controls, coalesce((array_agg(h.may_charge
                   ORDER BY (h.task_name <> '') DESC, (h.labor_category <> '') DESC)
                   FILTER (WHERE h.task_name IN ('', d.task_name) AND h.labor_category IN ('', d.labor_category)))[1],
               NOT bool_or(h.may_charge)) AS may_charge
        FROM charge_control h
        WHERE h.project_id = d.project_id AND daterange(h.starts_on, h.ends_on) @> d.on_date
          AND h.recorded_at <= %(known_at)s AND (h.superseded_at IS NULL OR h.superseded_at > %(known_at)s)
        HAVING count(*) > 0
    ) h ON true
), code_fact AS (
    SELECT DISTINCT d.client_id, d.activity_code, d.on_date, true AS is_code_allowed
    FROM (SELECT DISTINCT c.client_id, t.activity_code, c.on_date FROM counted c
          JOIN task_told t ON t.project_id = c.project_id AND t.task_name = c.task_name
              AND t.labor_category = coalesce(c.labor_category, '') AND t.on_date = c.on_date
          WHERE t.activity_code IS NOT NULL) d
    JOIN told_code k ON k.one_client_id = d.client_id AND k.activity_code = d.activity_code AND k.valid @> d.on_date
), person_asked AS (
    SELECT DISTINCT person_id, on_date, coalesce(labor_category, '') AS labor_category
    FROM counted WHERE person_id IS NOT NULL
), qualified AS (
    SELECT d.person_id, d.on_date, d.labor_category, true AS has_qualifications,
           bool_or(q.labor_category = d.labor_category AND daterange(q.starts_on, q.ends_on) @> d.on_date) AS is_qualified
    FROM person_asked d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN qualification q ON q.person_id = o.alias_id
        AND q.recorded_at <= %(known_at)s AND (q.superseded_at IS NULL OR q.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.on_date, d.labor_category
), subcontracted AS (
    SELECT d.person_id, d.on_date, true AS is_subcontractor,
           bool_or(daterange(s.starts_on, s.ends_on) @> d.on_date) AS has_subcontract
    FROM (SELECT DISTINCT person_id, on_date FROM person_asked) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN subcontract s ON s.person_id = o.alias_id
        AND s.recorded_at <= %(known_at)s AND (s.superseded_at IS NULL OR s.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.on_date
), person_told AS (
    SELECT d.person_id, d.on_date, d.labor_category, q.has_qualifications, q.is_qualified,
           s.is_subcontractor, s.has_subcontract
    FROM person_asked d
    LEFT JOIN qualified q ON q.person_id = d.person_id AND q.on_date = d.on_date AND q.labor_category = d.labor_category
    LEFT JOIN subcontracted s ON s.person_id = d.person_id AND s.on_date = d.on_date
), wall_fact AS (
    SELECT d.client_id, d.person_id, d.on_date, count(*) AS wall_count
    FROM (SELECT DISTINCT client_id, person_id, on_date FROM counted
          WHERE client_id IS NOT NULL AND person_id IS NOT NULL AND EXISTS (SELECT FROM ethical_wall)) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN ethical_wall w ON w.person_id = o.alias_id AND daterange(w.starts_on, w.ends_on) @> d.on_date
        AND w.recorded_at <= %(known_at)s AND (w.superseded_at IS NULL OR w.superseded_at > %(known_at)s)
    JOIN client l ON l.client_id = w.client_id AND coalesce(l.redirect_to, l.client_id) = d.client_id
    GROUP BY d.client_id, d.person_id, d.on_date
), clearance_fact AS (
    SELECT d.project_id, d.person_id, d.on_date, count(*) AS missing_clearance_count
    FROM (SELECT DISTINCT project_id, person_id, on_date FROM counted
          WHERE project_id IS NOT NULL AND person_id IS NOT NULL AND EXISTS (SELECT FROM required_clearance)) d
    JOIN required_clearance r ON r.project_id = d.project_id AND daterange(r.starts_on, r.ends_on) @> d.on_date
        AND r.recorded_at <= %(known_at)s AND (r.superseded_at IS NULL OR r.superseded_at > %(known_at)s)
    WHERE NOT EXISTS (
        SELECT FROM one_person o JOIN held_clearance h ON h.person_id = o.alias_id
        WHERE o.person_id = d.person_id AND h.clearance = r.clearance
          AND daterange(h.starts_on, h.ends_on) @> d.on_date
          AND h.recorded_at <= %(known_at)s AND (h.superseded_at IS NULL OR h.superseded_at > %(known_at)s))
    GROUP BY d.project_id, d.person_id, d.on_date
), approved AS (
    SELECT DISTINCT connection_key, approver_ref, person_id, project_id, entity_code, on_date,
           coalesce((approved_at AT TIME ZONE coalesce(entity_zone, 'UTC'))::date, on_date) AS approved_on
    FROM counted
    WHERE approver_ref IS NOT NULL AND entity_code IS NOT NULL AND person_id IS NOT NULL
      AND EXISTS (SELECT FROM approval_authority)
), known_authority AS NOT MATERIALIZED (
    SELECT o.person_id, a.entity_code, daterange(a.starts_on, a.ends_on) AS valid
    FROM approval_authority a JOIN one_person o ON o.alias_id = a.person_id
    WHERE a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s)
), approver_link AS (
    SELECT d.connection_key, d.approver_ref, d.approved_on, count(DISTINCT o.person_id) AS approver_count,
           (array_agg(o.person_id))[1] AS approver_id
    FROM (SELECT DISTINCT connection_key, approver_ref, approved_on FROM approved) d
    JOIN known_link x ON x.connection_key = d.connection_key AND x.noun = 'person'
        AND x.source_ref = d.approver_ref AND x.valid @> d.approved_on
    JOIN one_person o ON o.alias_id = x.our_id
    GROUP BY d.connection_key, d.approver_ref, d.approved_on
), authority_told AS (
    SELECT DISTINCT d.entity_code, d.approved_on
    FROM (SELECT DISTINCT entity_code, approved_on FROM approved) d
    JOIN known_authority k ON k.entity_code = d.entity_code AND k.valid @> d.approved_on
), acting AS (
    -- Of whom somebody may be the hand: themselves, and whoever delegated to them.
    SELECT approver_id, approved_on, approver_id AS person_id FROM approver_link WHERE approver_count = 1
    UNION
    SELECT l.approver_id, l.approved_on, f.person_id
    FROM approver_link l
    JOIN one_person t ON t.person_id = l.approver_id
    JOIN approval_delegation g ON g.to_person_id = t.alias_id AND daterange(g.starts_on, g.ends_on) @> l.approved_on
        AND g.recorded_at <= %(known_at)s AND (g.superseded_at IS NULL OR g.superseded_at > %(known_at)s)
    JOIN one_person f ON f.alias_id = g.from_person_id
    WHERE l.approver_count = 1
), by_authority AS (
    SELECT DISTINCT w.approver_id, w.approved_on, k.entity_code
    FROM acting w JOIN known_authority k ON k.person_id = w.person_id AND k.valid @> w.approved_on
), by_assignment AS (
    -- Approver or deputy of the assignment.
    SELECT DISTINCT w.approver_id, w.approved_on, a.person_id, a.project_id, a.on_date
    FROM (SELECT DISTINCT person_id, project_id, on_date FROM approved) a
    JOIN one_person o ON o.person_id = a.person_id
    JOIN assignment s ON s.person_id = o.alias_id AND s.project_id = a.project_id
        AND daterange(s.starts_on, s.ends_on) @> a.on_date
        AND s.recorded_at <= %(known_at)s AND (s.superseded_at IS NULL OR s.superseded_at > %(known_at)s)
    CROSS JOIN LATERAL (VALUES (s.approver_id), (s.deputy_id)) AS named (alias_id)
    JOIN one_person p ON p.alias_id = named.alias_id
    JOIN acting w ON w.person_id = p.person_id
), approval_fact AS (
    -- Of their own right, as approver or deputy of the assignment, or for somebody who may.
    SELECT a.connection_key, a.approver_ref, a.person_id, a.project_id, a.entity_code, a.on_date, a.approved_on,
           t.entity_code IS NOT NULL AS is_authority_told, coalesce(l.approver_count, 0) AS approver_count,
           h.entity_code IS NOT NULL OR s.person_id IS NOT NULL AS is_approver_authorized
    FROM approved a
    LEFT JOIN authority_told t ON t.entity_code = a.entity_code AND t.approved_on = a.approved_on
    LEFT JOIN approver_link l ON l.connection_key = a.connection_key AND l.approver_ref = a.approver_ref
        AND l.approved_on = a.approved_on
    LEFT JOIN by_authority h ON h.approver_id = l.approver_id AND l.approver_count = 1
        AND h.approved_on = a.approved_on AND h.entity_code = a.entity_code
    LEFT JOIN by_assignment s ON s.approver_id = l.approver_id AND l.approver_count = 1
        AND s.approved_on = a.approved_on AND s.person_id = a.person_id AND s.project_id = a.project_id
        AND s.on_date = a.on_date
), edit_fact AS (
    -- The same approval covers an older version that said something else.
    SELECT c.entry_id, count(*) AS changed_since_approval_count
    FROM counted c
    CROSS JOIN LATERAL (
        SELECT * FROM time_entry_version e
        WHERE e.entry_id = c.entry_id AND e.version < c.version AND e.approval = 'approved'
          AND e.approved_at = c.approved_at OFFSET 0) e
    WHERE c.version > 1 AND c.is_counted AND NOT e.is_deleted
      AND (e.person_ref, e.seconds, e.project_ref, e.task_ref, e.work_date, e.narrative_hash)
          IS DISTINCT FROM (c.person_ref, c.seconds, c.project_ref, c.task_ref, c.work_date, c.narrative_hash)
    GROUP BY c.entry_id
), earlier_epoch AS (
    -- What a source called the same before it was reset, with the same day and duration, and still stands.
    -- Hours first, then by key: few sources were ever reset, and a planner that began with what stands held every
    -- effect there is against every hour.
    SELECT c.entry_id, count(DISTINCT t.entry_id) AS earlier_epoch_count
    FROM counted c
    CROSS JOIN LATERAL generate_series(0, c.source_epoch - 1) AS n (epoch)
    CROSS JOIN LATERAL (
        SELECT * FROM time_entry t
        WHERE t.connection_key = c.connection_key AND t.source_epoch = n.epoch AND t.object = c.object
          AND t.source_ref = c.source_ref OFFSET 0) t
    CROSS JOIN LATERAL (
        SELECT FROM time_entry_version v
        WHERE v.entry_id = t.entry_id AND v.version = t.newest_version AND v.person_ref = c.person_ref
          AND v.work_date = c.work_date AND v.seconds = c.seconds OFFSET 0) v
    WHERE c.source_epoch > 0 AND c.is_counted
      AND EXISTS (SELECT FROM effect e WHERE e.entry_id = t.entry_id AND e.noun = 'time_line' AND e.kind = 'book' AND {stands}
                  AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                                  AND {undone} OFFSET 0) OFFSET 0)
    GROUP BY c.entry_id
), reversal_fact AS (
    SELECT m.entry_id, count(*) FILTER (WHERE o.seconds = -m.seconds) AS reversed_count,
           count(*) FILTER (WHERE o.seconds = m.seconds) AS reversing_count
    FROM member m
    JOIN member o ON o.person_key = m.person_key AND o.work_date = m.work_date AND o.project_word = m.project_word
        AND o.task_word = m.task_word AND o.seconds IN (m.seconds, -m.seconds)
    WHERE m.seconds < 0
    GROUP BY m.entry_id
), attendance_fact AS (
    SELECT d.person_id, d.work_date, sum(a.attended_minutes) * 60 AS attended_seconds
    FROM (SELECT DISTINCT person_id, work_date FROM counted
          WHERE person_id IS NOT NULL AND EXISTS (SELECT FROM attendance)) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN attendance a ON a.person_id = o.alias_id AND a.starts_on = d.work_date
        AND a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.work_date
), client_day AS (
    SELECT m.person_key, m.work_date, coalesce(l.redirect_to, l.client_id) AS client_id,
           sum(m.seconds) AS client_day_seconds
    FROM member m
    JOIN project p ON p.project_id::text = m.project_word
    JOIN contract k ON k.contract_id = p.contract_id
    JOIN client l ON l.client_id = k.client_id
    WHERE EXISTS (SELECT FROM client_guideline g WHERE g.person_day_minutes_max IS NOT NULL)
    GROUP BY m.person_key, m.work_date, 3
), matter_day AS (
    SELECT DISTINCT c.contract_id, c.work_date FROM counted c
    JOIN client_told g ON g.client_id = c.client_id AND g.on_date = c.on_date AND g.people_day_max IS NOT NULL
    WHERE c.work_date IS NOT NULL
), matter_people AS (
    SELECT contract_id, work_date, count(DISTINCT person_key) AS people_day_count
    FROM (
        SELECT d.contract_id, d.work_date,
               coalesce(o.person_id::text, t.connection_key || ':' || v.person_ref) AS person_key
        FROM matter_day d
        JOIN project p ON p.contract_id = d.contract_id
        JOIN known_link j ON j.our_id = p.project_id AND j.noun = 'project' AND j.valid @> d.work_date
        CROSS JOIN LATERAL (
            SELECT * FROM time_entry_version v
            WHERE v.project_ref = j.source_ref AND v.work_date = d.work_date AND {newest} AND NOT v.is_deleted
              AND v.approval <> 'not_approved' OFFSET 0) v
        CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = v.entry_id OFFSET 0) t
        LEFT JOIN known_link x ON x.connection_key = t.connection_key AND x.noun = 'person'
            AND x.source_ref = v.person_ref AND x.valid @> d.work_date
        LEFT JOIN one_person o ON o.alias_id = x.our_id
        WHERE t.connection_key = j.connection_key AND v.entry_id NOT IN (SELECT entry_id FROM considered)
          AND NOT EXISTS (SELECT FROM exclusion e WHERE e.entry_id = v.entry_id AND e.recorded_at <= %(known_at)s OFFSET 0)
        UNION ALL
        SELECT c.contract_id, c.work_date, c.person_key
        FROM counted c JOIN matter_day d ON d.contract_id = c.contract_id AND d.work_date = c.work_date
        WHERE c.is_counted
    ) worked
    GROUP BY contract_id, work_date
), text_asked AS (
    SELECT DISTINCT c.person_key, c.person_id, c.person_ref, c.narrative_hash FROM counted c
    JOIN client_told g ON g.client_id = c.client_id AND g.on_date = c.on_date AND g.same_text_days_max IS NOT NULL
    WHERE c.narrative_hash IS NOT NULL AND c.is_counted
), same_text AS (
    SELECT person_key, narrative_hash, count(DISTINCT work_date) AS same_text_days
    FROM (
        SELECT r.person_key, r.narrative_hash, v.work_date
        FROM (
            SELECT person_key, narrative_hash, person_ref FROM text_asked
            UNION
            SELECT d.person_key, d.narrative_hash, x.source_ref
            FROM text_asked d
            JOIN one_person o ON o.person_id = d.person_id
            JOIN known_link x ON x.our_id = o.alias_id AND x.noun = 'person'
        ) r
        CROSS JOIN LATERAL (
            SELECT * FROM time_entry_version v
            WHERE v.person_ref = r.person_ref AND v.narrative_hash = r.narrative_hash AND {newest}
              AND NOT v.is_deleted AND v.approval <> 'not_approved' OFFSET 0) v
        UNION ALL
        SELECT c.person_key, c.narrative_hash, c.work_date
        FROM counted c JOIN text_asked d ON d.person_key = c.person_key AND d.narrative_hash = c.narrative_hash
        WHERE c.is_counted
    ) told
    GROUP BY person_key, narrative_hash
), planned AS (
    SELECT d.person_id, d.project_id, a.assignment_id, a.planned_seconds, daterange(a.starts_on, a.ends_on) AS valid
    FROM (SELECT DISTINCT person_id, project_id, on_date FROM counted
          WHERE person_id IS NOT NULL AND project_id IS NOT NULL) d
    JOIN one_person o ON o.person_id = d.person_id
    JOIN assignment a ON a.person_id = o.alias_id AND a.project_id = d.project_id AND a.planned_seconds IS NOT NULL
        AND daterange(a.starts_on, a.ends_on) @> d.on_date
        AND a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s)
    GROUP BY d.person_id, d.project_id, a.assignment_id
), planned_fact AS (
    -- Earlier days go first, then the order of the sources, as with every amount that is scarce.
    SELECT entry_id, min(planned_seconds) AS planned_seconds, max(before_seconds) AS planned_before_seconds
    FROM (
        SELECT entry_id, planned_seconds, coalesce(sum(seconds) OVER (
            PARTITION BY assignment_id
            ORDER BY work_date, connection_key COLLATE "C", source_epoch, object COLLATE "C", source_ref COLLATE "C"
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_seconds
        FROM (
            SELECT a.assignment_id, a.planned_seconds, v.entry_id, v.seconds, v.work_date, t.connection_key,
                   t.source_epoch, t.object, t.source_ref
            FROM planned a
            JOIN known_link j ON j.our_id = a.project_id AND j.noun = 'project'
            JOIN one_person o ON o.person_id = a.person_id
            JOIN known_link x ON x.our_id = o.alias_id AND x.noun = 'person' AND x.connection_key = j.connection_key
            CROSS JOIN LATERAL (
                SELECT * FROM time_entry_version v
                WHERE v.person_ref = x.source_ref AND v.project_ref = j.source_ref AND v.work_date >= lower(a.valid)
                  AND (upper(a.valid) IS NULL OR v.work_date < upper(a.valid)) AND {newest} AND NOT v.is_deleted
                  AND v.approval <> 'not_approved' OFFSET 0) v
            CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = v.entry_id OFFSET 0) t
            WHERE t.connection_key = j.connection_key AND j.valid @> v.work_date AND x.valid @> v.work_date
              AND v.entry_id NOT IN (SELECT entry_id FROM considered)
              AND NOT EXISTS (SELECT FROM exclusion e WHERE e.entry_id = v.entry_id AND e.recorded_at <= %(known_at)s OFFSET 0)
            UNION ALL
            SELECT a.assignment_id, a.planned_seconds, c.entry_id, c.seconds, c.work_date, c.connection_key,
                   c.source_epoch, c.object, c.source_ref
            FROM counted c JOIN planned a ON a.person_id = c.person_id AND a.project_id = c.project_id
                AND a.valid @> c.work_date
            WHERE c.is_counted
        ) hours
    ) counted_up
    GROUP BY entry_id
), text_fact AS (
    -- The only step that reads a text: of hours for clients who say something about texts. What leaves it are
    -- counts and the name of a language.
    SELECT c.entry_id, true AS is_narrative_read,
           regexp_count(n.text, '[[:alpha:]]+') AS narrative_words,
           (SELECT count(*) FROM regexp_split_to_table(n.text, '[;\n•|]+') part WHERE part ~ '[[:alpha:]]')
               AS narrative_tasks,
           (SELECT CASE WHEN count(*) = 1 THEN min(s.language) END FROM (
                SELECT language, hits, rank() OVER (ORDER BY hits DESC) AS place
                FROM (SELECT w.language, regexp_count(lower(n.text), '\m(' || w.words || ')\M') AS hits
                      FROM (VALUES ('en', 'the|and|with|for|of|to|on|in|from'), ('de', 'der|die|das|und|mit|für|von|zu|im|auf'),
                                   ('fr', 'le|la|les|et|avec|pour|des|du|sur|une'), ('es', 'el|los|las|y|con|para|del|una|por'),
                                   ('it', 'il|gli|che|con|per|della|del|una|di'), ('nl', 'het|een|en|met|voor|van|op|aan|naar')
                           ) AS w (language, words)) counted_words
                WHERE hits >= 2
            ) s WHERE s.place = 1) AS narrative_language,
           CASE WHEN g.word_pattern IS NULL THEN 0 ELSE regexp_count(n.text, g.word_pattern, 1, 'i') END
               AS forbidden_word_count,
           regexp_count(n.text, '[[:alnum:]._+-]+@[[:alnum:]-]+[.][[:alpha:]]{2,}', 1, 'i')
               + regexp_count(n.text, '\m[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){3,}')
               + regexp_count(n.text, '[+]?[0-9][0-9 /().-]{8,}[0-9]')
               + regexp_count(n.text, '\m(password|passwort|kennwort)\M', 1, 'i') AS contact_data_count
    FROM counted c
    JOIN client_told g ON g.client_id = c.client_id AND g.on_date = c.on_date
        AND (g.word_pattern IS NOT NULL OR g.narrative_words_min IS NOT NULL OR g.narrative_tasks_max IS NOT NULL
             OR g.wanted_language IS NOT NULL OR g.forbids_contact_data)
    LEFT JOIN LATERAL (SELECT * FROM narrative w WHERE w.narrative_id = c.narrative_id OFFSET 0) w ON true
    CROSS JOIN LATERAL (SELECT left(coalesce(c.told_text, w.text), 10000) AS text) n
    WHERE n.text IS NOT NULL
)
