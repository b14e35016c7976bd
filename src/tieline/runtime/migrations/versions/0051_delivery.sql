-- How the projects of the legal entities in sight stand: one row per running project, all hours in seconds.
-- Sold is a contract's, and repeats on each of its projects; unsold_lines counts the lines that do not say how much.
-- Booked is what the newest versions in the time tools say, whether approved or not; early is the part of it before
-- the go-live date of the connection; billed is what an invoice took and did not give back.
-- placements are the assignments that hold today or later: days_left counts working days until the last one, today
-- among them, for whoever does not go on afterwards and ends within days_ahead; told_by is the row that says so.
-- strays are people who booked within days_back on a day on which nothing assigns them.
CREATE FUNCTION page_delivery(entity text, at timestamptz, known timestamptz, days_ahead integer, days_back integer)
RETURNS TABLE (contract_id uuid, contract_code text, contract_name text, client_name text, entity_code text, zone text,
    today_on date, sold_seconds bigint, unsold_lines integer, project_id uuid, project_code text, project_name text,
    ends_on date, is_staffed boolean, may_stray boolean, assignments integer, unplanned integer, planned_seconds bigint,
    booked_seconds bigint, early_seconds bigint, approved_seconds bigint, billed_seconds bigint,
    nobody_seconds bigint, records jsonb, placements jsonb, strays jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH one AS MATERIALIZED (
        -- Who was merged is read as the one who stays.
        SELECT person_id AS alias_id, coalesce(redirect_to, person_id) AS person_id FROM person
    ), shown AS MATERIALIZED (
        SELECT j.project_id, j.project_code, v.name AS project_name, v.ends_on, j.contract_id, k.contract_code,
               c.name AS contract_name, c.allows_unassigned_time AS may_stray, n.name AS client_name, j.entity_code,
               e.zone, (at AT TIME ZONE e.zone)::date AS today_on
        FROM project j
        JOIN legal_entity e ON e.entity_code = j.entity_code
        JOIN project_version v ON v.project_id = j.project_id AND v.status = 'active'
            AND v.recorded_at <= known AND (v.superseded_at IS NULL OR v.superseded_at > known)
        JOIN contract k ON k.contract_id = j.contract_id
        JOIN contract_version c ON c.contract_id = j.contract_id
            AND c.recorded_at <= known AND (c.superseded_at IS NULL OR c.superseded_at > known)
        JOIN client b ON b.client_id = k.client_id
        LEFT JOIN client_version n ON n.client_id = coalesce(b.redirect_to, b.client_id)
            AND n.recorded_at <= known AND (n.superseded_at IS NULL OR n.superseded_at > known)
        WHERE in_sight(j.entity_code) AND (entity = '' OR j.entity_code = entity)
    ), sold AS (
        SELECT l.contract_id, sum(l.sold_seconds)::bigint AS seconds,
               count(*) FILTER (WHERE l.sold_seconds IS NULL)::integer AS untold
        FROM contract_line l
        WHERE l.contract_id IN (SELECT contract_id FROM shown)
          AND l.recorded_at <= known AND (l.superseded_at IS NULL OR l.superseded_at > known)
        GROUP BY 1
    ), place AS MATERIALIZED (
        SELECT a.assignment_id, a.project_id, w.project_code, a.person_id AS told_person_id, o.person_id,
               c.person_id AS approver_id, a.labor_category, a.planned_seconds, a.starts_on, a.ends_on,
               daterange(a.starts_on, a.ends_on) AS valid, w.today_on
        FROM shown w
        JOIN assignment a ON a.project_id = w.project_id
            AND a.recorded_at <= known AND (a.superseded_at IS NULL OR a.superseded_at > known)
        JOIN one o ON o.alias_id = a.person_id
        LEFT JOIN one c ON c.alias_id = a.approver_id
    ), planned AS (
        SELECT project_id, count(*)::integer AS assignments, sum(planned_seconds)::bigint AS seconds,
               count(*) FILTER (WHERE planned_seconds IS NULL)::integer AS untold
        FROM place GROUP BY 1
    ), link AS MATERIALIZED (
        SELECT w.project_id, w.entity_code, x.connection_key, x.source_ref, daterange(x.starts_on, x.ends_on) AS valid
        FROM shown w
        JOIN crosswalk x ON x.our_id = w.project_id AND x.noun = 'project' AND x.recorded_at <= known
            AND (x.superseded_at IS NULL OR x.superseded_at > known)
        JOIN connection k ON k.connection_key = x.connection_key AND k.kind = 'time'
    ), told AS MATERIALIZED (
        SELECT l.project_id, l.connection_key, v.person_ref, v.work_date,
               coalesce(v.work_date < g.go_live_on, false) AS is_early, sum(v.seconds) AS seconds,
               coalesce(sum(v.seconds) FILTER (WHERE v.approval = 'approved'), 0) AS approved
        FROM (
            SELECT v.* FROM time_entry_version v WHERE v.is_newest AND v.recorded_at <= known
            UNION ALL
            -- What a later version has replaced since; of what is known by now there is none.
            SELECT v.* FROM time_entry_version v
            JOIN time_entry_version o ON o.entry_id = v.entry_id AND o.is_newest AND o.recorded_at > known
            WHERE known < at AND v.version = (SELECT max(l.version) FROM time_entry_version l
                                              WHERE l.entry_id = v.entry_id AND l.recorded_at <= known)
        ) v
        JOIN time_entry t ON t.entry_id = v.entry_id
        JOIN link l ON l.connection_key = t.connection_key AND l.source_ref = v.project_ref AND l.valid @> v.work_date
        LEFT JOIN connection_go_live g ON g.connection_key = l.connection_key AND g.entity_code = l.entity_code
        WHERE NOT v.is_deleted
        GROUP BY 1, 2, 3, 4, 5
    ), booked AS (
        SELECT project_id, sum(seconds)::bigint AS seconds, sum(approved)::bigint AS approved,
               coalesce(sum(seconds) FILTER (WHERE is_early), 0)::bigint AS early
        FROM told GROUP BY 1
    ), name AS MATERIALIZED (
        SELECT x.connection_key, x.source_ref, daterange(x.starts_on, x.ends_on) AS valid, o.person_id
        FROM (SELECT DISTINCT connection_key, person_ref FROM told) d
        JOIN crosswalk x ON x.connection_key = d.connection_key AND x.source_ref = d.person_ref AND x.noun = 'person'
            AND x.recorded_at <= known AND (x.superseded_at IS NULL OR x.superseded_at > known)
        JOIN one o ON o.alias_id = x.our_id
    ), day AS MATERIALIZED (
        SELECT d.project_id, n.person_id, d.work_date, sum(d.seconds) AS seconds
        FROM told d
        LEFT JOIN name n ON n.connection_key = d.connection_key AND n.source_ref = d.person_ref
            AND n.valid @> d.work_date
        GROUP BY 1, 2, 3
    ), nobody AS (
        SELECT project_id, sum(seconds)::bigint AS seconds FROM day WHERE person_id IS NULL GROUP BY 1
    ), used AS (
        SELECT p.assignment_id, sum(d.seconds)::bigint AS seconds
        FROM place p
        JOIN day d ON d.project_id = p.project_id AND d.person_id = p.person_id AND p.valid @> d.work_date
        GROUP BY 1
    ), ending AS (
        -- A day without a plan for that person is a working day from Monday to Friday.
        SELECT p.assignment_id, count(*) FILTER (
                   WHERE CASE WHEN y.home_entity_code IS NULL OR y.is_free_day IS NULL
                              THEN extract(isodow FROM p.today_on + n) < 6 ELSE NOT y.is_free_day END)::integer AS days
        FROM place p
        CROSS JOIN LATERAL generate_series(0, p.ends_on - p.today_on - 1) n
        CROSS JOIN LATERAL expected_day(p.told_person_id, p.today_on + n, known) y
        WHERE p.ends_on > p.today_on AND p.ends_on <= p.today_on + days_ahead AND p.starts_on <= p.today_on
          AND NOT EXISTS (SELECT FROM place f WHERE f.project_id = p.project_id AND f.person_id = p.person_id
                          AND f.starts_on <= p.ends_on AND (f.ends_on IS NULL OR f.ends_on > p.ends_on))
        GROUP BY 1
    ), source AS (
        -- The row of a staffing list that says so now; its line is known as long as the raw row is kept.
        SELECT DISTINCT ON (p.assignment_id) p.assignment_id,
               jsonb_build_object('connection_key', v.connection_key, 'file_name', b.control ->> 'file_name',
                                  'line_number', r.line_number) AS told_by
        FROM (
            SELECT p.*, lower(s.email) AS email FROM place p JOIN subject s ON s.subject_id = p.told_person_id
            LEFT JOIN ending e USING (assignment_id) LEFT JOIN used u USING (assignment_id)
            WHERE e.days IS NOT NULL OR u.seconds > p.planned_seconds
        ) p
        JOIN source_version v ON v.noun = 'StaffingFact' AND v.is_newest AND NOT v.is_deleted
            AND v.data ->> 'fact' = 'assignment' AND v.data ->> 'project_code' = p.project_code
            AND v.data ->> 'starts_on' = p.starts_on::text AND lower(btrim(v.data ->> 'person_email')) = p.email
        JOIN connection k ON k.connection_key = v.connection_key AND k.source_epoch = v.source_epoch AND k.kind = 'hr'
        LEFT JOIN raw_record r ON r.connection_key = v.connection_key AND r.object = v.object
            AND r.source_ref = v.source_ref AND r.raw_id = v.raw_id
        LEFT JOIN intake_batch b ON b.batch_id = r.batch_id
        ORDER BY p.assignment_id, v.recorded_at DESC, v.connection_key
    ), placed AS (
        SELECT p.project_id, jsonb_agg(jsonb_build_object(
                   'assignment_id', p.assignment_id, 'person_id', p.person_id, 'person_name', s.name,
                   'approver_id', p.approver_id, 'approver_name', c.name, 'labor_category', p.labor_category,
                   'starts_on', p.starts_on, 'ends_on', p.ends_on, 'planned_seconds', p.planned_seconds,
                   'booked_seconds', coalesce(u.seconds, 0), 'days_left', e.days, 'told_by', o.told_by)
                   ORDER BY p.ends_on NULLS LAST, s.name, p.assignment_id) AS placements
        FROM place p
        LEFT JOIN used u USING (assignment_id)
        LEFT JOIN ending e USING (assignment_id)
        LEFT JOIN source o USING (assignment_id)
        -- A name may have been erased: the assignment stands all the same.
        LEFT JOIN subject s ON s.subject_id = p.person_id
        LEFT JOIN subject c ON c.subject_id = p.approver_id
        WHERE p.ends_on IS NULL OR p.ends_on > p.today_on
        GROUP BY 1
    ), staffed AS (
        SELECT DISTINCT j.entity_code FROM assignment a JOIN project j USING (project_id)
        WHERE a.recorded_at <= known AND (a.superseded_at IS NULL OR a.superseded_at > known)
    ), stray AS (
        SELECT project_id, jsonb_agg(jsonb_build_object('person_id', f.person_id, 'person_name', s.name,
                   'seconds', f.seconds, 'first_on', f.first_on, 'last_on', f.last_on)
                   ORDER BY f.last_on DESC, s.name, f.person_id) AS strays
        FROM (
            SELECT d.project_id, d.person_id, sum(d.seconds)::bigint AS seconds, min(d.work_date) AS first_on,
                   max(d.work_date) AS last_on
            FROM day d
            JOIN shown w ON w.project_id = d.project_id AND NOT w.may_stray
            JOIN staffed z ON z.entity_code = w.entity_code
            WHERE d.person_id IS NOT NULL AND d.work_date > w.today_on - days_back
              AND NOT EXISTS (SELECT FROM place p WHERE p.project_id = d.project_id AND p.person_id = d.person_id
                              AND p.valid @> d.work_date)
            GROUP BY 1, 2
        ) f
        LEFT JOIN subject s ON s.subject_id = f.person_id
        GROUP BY 1
    ), billed AS (
        SELECT l.project_id, sum(l.seconds)::bigint AS seconds
        FROM ledger_line l
        JOIN invoice_ledger_line i ON i.business_key = l.business_key
        JOIN invoice_record r ON r.invoice_id = i.invoice_id AND r.recorded_at <= known
        WHERE l.booked_at <= known AND l.project_id IN (SELECT project_id FROM shown)
        GROUP BY 1
    ), record AS (
        SELECT x.our_id AS project_id, jsonb_agg(jsonb_build_object('connection_key', x.connection_key, 'kind', k.kind,
                   'source_ref', x.source_ref) ORDER BY k.kind, x.connection_key, x.source_ref) AS records
        FROM crosswalk x JOIN connection k USING (connection_key)
        WHERE x.noun = 'project' AND x.superseded_at IS NULL AND x.our_id IN (SELECT project_id FROM shown)
        GROUP BY 1
    )
    SELECT w.contract_id, w.contract_code, w.contract_name, w.client_name, w.entity_code, w.zone, w.today_on, o.seconds,
           coalesce(o.untold, 0), w.project_id, w.project_code, w.project_name, w.ends_on, z.entity_code IS NOT NULL,
           w.may_stray, coalesce(p.assignments, 0), coalesce(p.untold, 0), p.seconds, coalesce(b.seconds, 0),
           coalesce(b.early, 0), coalesce(b.approved, 0), coalesce(i.seconds, 0), coalesce(n.seconds, 0),
           coalesce(r.records, '[]'), coalesce(a.placements, '[]'), coalesce(s.strays, '[]')
    FROM shown w
    LEFT JOIN sold o ON o.contract_id = w.contract_id
    LEFT JOIN planned p ON p.project_id = w.project_id
    LEFT JOIN booked b ON b.project_id = w.project_id
    LEFT JOIN billed i ON i.project_id = w.project_id
    LEFT JOIN nobody n ON n.project_id = w.project_id
    LEFT JOIN staffed z ON z.entity_code = w.entity_code
    LEFT JOIN record r ON r.project_id = w.project_id
    LEFT JOIN placed a ON a.project_id = w.project_id
    LEFT JOIN stray s ON s.project_id = w.project_id
    ORDER BY w.entity_code, w.contract_code, w.project_code;
END $$;
REVOKE ALL ON FUNCTION page_delivery(text, timestamptz, timestamptz, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_delivery(text, timestamptz, timestamptz, integer, integer)
    TO tieline_web, tieline_worker;
