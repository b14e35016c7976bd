-- The register as a page or a caller sees it, and why a client or an assignment stands as it does: who told it, what
-- is asked about it, and what a system lacks. A client belongs to the legal entities that have a contract with it; one
-- without a contract is shown to whoever is in for any. The functions are planned for what is asked each time: a
-- page joins in hashes, one client by its index.

-- Writes about people are few among the lines of hours.
CREATE INDEX effect_people ON effect (project_id) WHERE noun IN ('assignment', 'employee');

-- A client is 'unclear' while a case asks about it, 'linked' where each kind of system that keeps clients as
-- master data (CRM and ERP) and is connected knows it, and 'partial' before that.
CREATE FUNCTION page_clients(asked uuid, fragment text, entity text, link text, shown_max integer, skipped integer)
RETURNS TABLE (client_id uuid, name text, vat_number text, city text, country_code text, domain text,
    is_active boolean, parent_client_id uuid, parent_name text, entities text[], link_state text, records jsonb,
    cases jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH questions AS MATERIALIZED (
        -- A case is about the client of its record, and about those that its record may be.
        SELECT DISTINCT coalesce(g.redirect_to, g.client_id) AS client_id, c.case_id, c.reason, c.opened_at
        FROM case_file c
        CROSS JOIN LATERAL (
            SELECT x.our_id AS client_id FROM crosswalk x
            WHERE x.noun = 'client' AND x.superseded_at IS NULL
              AND x.connection_key = split_part(c.thing_key, ':', 1)
              AND x.source_ref = substr(c.thing_key, length(split_part(c.thing_key, ':', 1)) + 2)
            UNION
            SELECT m[1]::uuid FROM regexp_matches(c.details ->> 'candidates', '([0-9a-f-]{36}) \(', 'g') m
        ) f
        JOIN client g ON g.client_id = f.client_id
        WHERE c.state = 'open' AND c.thing_kind = 'client' AND in_sight(c.entity_code)
    ), asking AS (
        SELECT q.client_id, jsonb_agg(jsonb_build_object('case_id', q.case_id, 'reason', q.reason)
                                      ORDER BY q.opened_at, q.case_id) AS cases
        FROM questions q GROUP BY q.client_id
    ), known AS (
        SELECT x.our_id AS client_id, count(DISTINCT k.kind) AS kinds
        FROM crosswalk x JOIN connection k ON k.connection_key = x.connection_key AND k.kind IN ('crm', 'erp')
        WHERE x.noun = 'client' AND x.superseded_at IS NULL GROUP BY x.our_id
    ), deals_with AS (
        SELECT n.client_id, count(*) AS contracts,
               array_agg(DISTINCT n.entity_code ORDER BY n.entity_code) FILTER (WHERE in_sight(n.entity_code)) AS entities
        FROM contract n GROUP BY n.client_id
    ), shown AS MATERIALIZED (
        SELECT l.client_id, v.name, v.vat_number, v.city, v.country_code, v.domain, v.is_active, v.parent_client_id,
               u.name AS parent_name, coalesce(d.entities, '{}') AS entities, s.link_state,
               coalesce(q.cases, '[]') AS cases
        FROM client l
        JOIN client_version v ON v.client_id = l.client_id AND v.superseded_at IS NULL
        LEFT JOIN client_version u ON u.client_id = v.parent_client_id AND u.superseded_at IS NULL
        LEFT JOIN deals_with d ON d.client_id = l.client_id
        LEFT JOIN asking q ON q.client_id = l.client_id
        LEFT JOIN known w ON w.client_id = l.client_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN q.cases IS NOT NULL THEN 'unclear'
                        WHEN w.kinds = (SELECT count(DISTINCT kind) FROM connection WHERE kind IN ('crm', 'erp'))
                            THEN 'linked'
                        ELSE 'partial' END AS link_state) s
        WHERE l.redirect_to IS NULL
          AND (asked IS NULL
               OR l.client_id = coalesce((SELECT g.redirect_to FROM client g WHERE g.client_id = asked), asked))
          AND (fragment IS NULL OR position(lower(fragment) IN lower(v.name)) > 0)
          AND (entity IS NULL OR entity = ANY (d.entities))
          AND (link IS NULL OR link = s.link_state)
          AND (cardinality(d.entities) > 0 OR (d.contracts IS NULL AND in_sight(NULL)))
        ORDER BY v.name, l.client_id LIMIT shown_max OFFSET skipped
    )
    SELECT w.client_id, w.name, w.vat_number, w.city, w.country_code, w.domain, w.is_active, w.parent_client_id,
           w.parent_name, w.entities, w.link_state,
           coalesce((SELECT jsonb_agg(jsonb_build_object('connection_key', x.connection_key, 'source_ref', x.source_ref,
                                                         'because', x.because) ORDER BY x.connection_key, x.source_ref)
                     FROM crosswalk x
                     WHERE x.noun = 'client' AND x.our_id = w.client_id AND x.superseded_at IS NULL), '[]'),
           w.cases
    FROM shown w ORDER BY w.name, w.client_id;
END $$;

-- Each assignment once for each system that needs it: the ERP of the project's legal entity needs an employee, each
-- time tool that knows the project an assignment. MISSING says that nothing stands there and nothing is on its way.
CREATE FUNCTION page_assignments(project text, person uuid, entity text, on_date date, shown_max integer,
    skipped integer)
RETURNS TABLE (assignment_id uuid, person_id uuid, person_name text, project_id uuid, project_code text,
    entity_code text, labor_category text, starts_on date, ends_on date, approver_id uuid, deputy_id uuid,
    employee_code text, told_by jsonb, standing jsonb, cases jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    page uuid[];
BEGIN
    -- Apart from the rest, which is then planned for as many as there are.
    page := ARRAY(
        SELECT a.assignment_id
        FROM assignment a
        JOIN project j ON j.project_id = a.project_id
        LEFT JOIN subject s ON s.subject_id = a.person_id
        WHERE a.superseded_at IS NULL AND in_sight(j.entity_code)
          AND (project IS NULL OR j.project_code = project)
          AND (entity IS NULL OR j.entity_code = entity)
          AND (person IS NULL
               OR a.person_id = coalesce((SELECT g.redirect_to FROM person g WHERE g.person_id = person), person))
          AND (on_date IS NULL OR daterange(a.starts_on, a.ends_on) @> on_date)
        ORDER BY j.project_code, s.name, a.starts_on, a.assignment_id LIMIT shown_max OFFSET skipped);
    RETURN QUERY
    WITH shown AS MATERIALIZED (
        SELECT a.assignment_id, a.person_id, s.name AS person_name, s.email, a.project_id, j.project_code,
               j.entity_code, e.erp_connection_key, a.labor_category, a.starts_on, a.ends_on, a.approver_id,
               a.deputy_id
        FROM assignment a
        JOIN project j ON j.project_id = a.project_id
        JOIN legal_entity e ON e.entity_code = j.entity_code
        LEFT JOIN subject s ON s.subject_id = a.person_id
        WHERE a.assignment_id = ANY (page)
    ), told AS (
        -- The row of a staffing list that says so now; its line is known as long as the raw row is kept.
        SELECT DISTINCT ON (w.assignment_id) w.assignment_id,
               jsonb_build_object('connection_key', v.connection_key, 'file_name', b.control ->> 'file_name',
                                  'line_number', r.line_number, 'read_at', v.recorded_at) AS told_by
        FROM connection k
        JOIN source_version v ON v.connection_key = k.connection_key AND v.source_epoch = k.source_epoch
             AND v.noun = 'StaffingFact' AND v.is_newest AND NOT v.is_deleted
        JOIN shown w ON w.project_code = v.data ->> 'project_code' AND w.starts_on::text = v.data ->> 'starts_on'
             AND w.email = lower(btrim(v.data ->> 'person_email'))
        LEFT JOIN raw_record r ON r.connection_key = v.connection_key AND r.object = v.object
             AND r.source_ref = v.source_ref AND r.raw_id = v.raw_id
        LEFT JOIN intake_batch b ON b.batch_id = r.batch_id
        WHERE k.kind = 'hr' AND v.data ->> 'fact' = 'assignment'
        ORDER BY w.assignment_id, v.recorded_at DESC, v.connection_key
    ), written AS MATERIALIZED (
        -- Each write of the projects once, however many of their people are shown.
        SELECT DISTINCT ON (f.project_id, f.target_connection, p.content ->> 'person_code') f.project_id,
               f.target_connection, p.content ->> 'person_code' AS person_code, f.business_key, f.target_code,
               f.state, f.reason
        FROM effect f JOIN effect_payload p ON p.business_key = f.business_key
        WHERE f.project_id IN (SELECT project_id FROM shown) AND f.noun = 'assignment' AND f.kind = 'write'
          AND f.state <> 'WITHDRAWN'
          AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = f.business_key AND u.kind = 'void'
                          AND u.state = 'CONFIRMED')
        ORDER BY f.project_id, f.target_connection, p.content ->> 'person_code', f.planned_at DESC, f.effect_no DESC
    ), assigned AS (
        SELECT w.assignment_id, f.target_connection, f.business_key, f.target_code, f.state, f.reason
        FROM shown w
        JOIN crosswalk x ON x.our_id = w.person_id AND x.noun = 'person' AND x.superseded_at IS NULL
        JOIN written f ON f.project_id = w.project_id AND f.target_connection = x.connection_key
             AND f.person_code = x.source_ref
    ), employed AS (
        -- Whoever is lent gains a record where they work; it is written from the one at home.
        SELECT DISTINCT ON (w.assignment_id) w.assignment_id, f.business_key, f.target_code, f.state, f.reason
        FROM shown w
        JOIN crosswalk h ON h.noun = 'employee' AND h.our_id = w.person_id AND h.superseded_at IS NULL
        JOIN effect f ON f.noun = 'employee' AND f.kind = 'write' AND f.state <> 'WITHDRAWN'
             AND f.target_connection = w.erp_connection_key AND f.entity_code = w.entity_code
             AND f.connection_key = h.connection_key AND f.source_ref = h.source_ref
        WHERE NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = f.business_key AND u.kind = 'void'
                          AND u.state = 'CONFIRMED')
        ORDER BY w.assignment_id, f.planned_at DESC, f.effect_no DESC
    ), places AS (
        SELECT w.assignment_id, x.connection_key
        FROM shown w
        JOIN crosswalk x ON x.our_id = w.project_id AND x.noun = 'project' AND x.superseded_at IS NULL
        JOIN connection k ON k.connection_key = x.connection_key AND k.kind = 'time'
        UNION SELECT assignment_id, target_connection FROM assigned
    ), standing AS (
        SELECT w.assignment_id, w.erp_connection_key AS connection_key, 'employee' AS noun,
               coalesce(x.source_ref, f.target_code) AS source_ref,
               CASE WHEN x.source_ref IS NULL THEN coalesce(f.state, 'MISSING') ELSE 'CONFIRMED' END AS state,
               CASE WHEN x.source_ref IS NULL THEN f.reason END AS because, f.business_key
        FROM shown w
        LEFT JOIN crosswalk x ON x.connection_key = w.erp_connection_key AND x.noun = 'employee'
             AND x.our_id = w.person_id AND x.scope = w.entity_code AND x.superseded_at IS NULL
        LEFT JOIN employed f ON f.assignment_id = w.assignment_id
        WHERE w.erp_connection_key IS NOT NULL
        UNION ALL
        SELECT p.assignment_id, p.connection_key, 'assignment', f.target_code, coalesce(f.state, 'MISSING'), f.reason,
               f.business_key
        FROM places p
        LEFT JOIN assigned f ON f.assignment_id = p.assignment_id AND f.target_connection = p.connection_key
    ), questions AS (
        -- A deal's cases name people by their code at home, or where they have none by a digest of their address.
        SELECT w.assignment_id, c.case_id, c.reason, c.opened_at
        FROM shown w
        JOIN provisioning_plan p ON p.project_id = w.project_id
        JOIN case_file c ON c.thing_kind = 'deal' AND c.thing_key = p.connection_key || ':' || p.deal_ref
             AND c.state = 'open' AND in_sight(c.entity_code)
        WHERE c.reason LIKE 'project.provisioning.%'
           OR string_to_array(c.details ->> 'things', ', ') && ARRAY(
                  SELECT m.employee_code FROM employment m
                  WHERE m.person_id = w.person_id AND m.superseded_at IS NULL
                  UNION ALL SELECT left(encode(sha256(convert_to(w.email, 'UTF8')), 'hex'), 16))
        UNION
        SELECT t.assignment_id, c.case_id, c.reason, c.opened_at
        FROM standing t
        JOIN case_member m ON m.member_kind = 'effect' AND m.member_key = t.business_key::text
             AND m.left_at IS NULL AND m.is_synced
        JOIN case_file c ON c.case_id = m.case_id AND c.state = 'open' AND in_sight(c.entity_code)
    )
    SELECT w.assignment_id, w.person_id, w.person_name, w.project_id, w.project_code, w.entity_code,
           w.labor_category, w.starts_on, w.ends_on, w.approver_id, w.deputy_id,
           (SELECT e.employee_code FROM employment e
            WHERE e.person_id = w.person_id AND e.entity_code = w.entity_code AND e.superseded_at IS NULL
              AND daterange(e.starts_on, e.ends_on) && daterange(w.starts_on, w.ends_on)
            ORDER BY e.starts_on DESC LIMIT 1),
           o.told_by, coalesce(t.standing, '[]'), coalesce(q.cases, '[]')
    FROM shown w
    LEFT JOIN told o ON o.assignment_id = w.assignment_id
    LEFT JOIN (SELECT assignment_id, jsonb_agg(jsonb_build_object('connection_key', connection_key, 'noun', noun,
                          'source_ref', source_ref, 'state', state, 'because', because)
                          ORDER BY connection_key, noun) AS standing
               FROM standing GROUP BY assignment_id) t ON t.assignment_id = w.assignment_id
    LEFT JOIN (SELECT assignment_id, jsonb_agg(jsonb_build_object('case_id', case_id, 'reason', reason)
                          ORDER BY opened_at, case_id) AS cases
               FROM questions GROUP BY assignment_id) q ON q.assignment_id = w.assignment_id
    ORDER BY w.project_code, w.person_name, w.starts_on, w.assignment_id;
END $$;
REVOKE ALL ON FUNCTION page_clients(uuid, text, text, text, integer, integer),
    page_assignments(text, uuid, text, date, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_clients(uuid, text, text, text, integer, integer),
    page_assignments(text, uuid, text, date, integer, integer) TO tieline_web, tieline_worker, tieline_judge;
