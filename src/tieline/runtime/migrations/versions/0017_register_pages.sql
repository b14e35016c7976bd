-- The register as a page or a caller sees it. A client belongs to the legal entities that have a contract with
-- it; one without a contract is shown to whoever is in for any.
CREATE FUNCTION page_clients(asked uuid, fragment text, entity text, shown_max integer, skipped integer)
RETURNS TABLE (client_id uuid, name text, vat_number text, city text, country_code text, domain text,
    is_active boolean, parent_client_id uuid, parent_name text, entities text[], records jsonb, open_cases integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT l.client_id, v.name, v.vat_number, v.city, v.country_code, v.domain, v.is_active,
           v.parent_client_id, u.name, coalesce(k.entities, '{}'),
           coalesce((SELECT jsonb_agg(jsonb_build_object('connection_key', x.connection_key, 'object', o.object,
                                                         'source_ref', x.source_ref, 'because', x.because)
                                      ORDER BY x.connection_key, x.source_ref)
                     FROM crosswalk x LEFT JOIN LATERAL (
                         SELECT s.object FROM source_version s WHERE s.connection_key = x.connection_key
                            AND s.noun = 'client' AND s.source_ref = x.source_ref LIMIT 1) o ON true
                     WHERE x.noun = 'client' AND x.our_id = l.client_id AND x.superseded_at IS NULL), '[]'),
           (SELECT count(*)::integer FROM case_file c JOIN crosswalk x ON x.our_id = l.client_id AND x.noun = 'client'
               AND x.superseded_at IS NULL AND c.thing_key = x.connection_key || ':' || x.source_ref
            WHERE c.state = 'open' AND c.reason LIKE 'client.%')
    FROM client l
    JOIN client_version v ON v.client_id = l.client_id AND v.superseded_at IS NULL
    LEFT JOIN client_version u ON u.client_id = v.parent_client_id AND u.superseded_at IS NULL
    LEFT JOIN LATERAL (
        SELECT array_agg(DISTINCT n.entity_code ORDER BY n.entity_code) FILTER (WHERE in_sight(n.entity_code)) AS entities,
               count(*) AS contracts
        FROM contract n WHERE n.client_id = l.client_id) k ON true
    WHERE l.redirect_to IS NULL
      AND (asked IS NULL OR l.client_id = coalesce((SELECT g.redirect_to FROM client g WHERE g.client_id = asked), asked))
      AND (fragment IS NULL OR position(lower(fragment) IN lower(v.name)) > 0)
      AND (entity IS NULL OR entity = ANY (k.entities))
      AND (cardinality(k.entities) > 0 OR (k.contracts = 0 AND in_sight(NULL)))
    ORDER BY v.name, l.client_id LIMIT shown_max OFFSET skipped
$$;

-- Who is on which project, from when until when, and where it stands: in the ERP as an employee of the
-- project's legal entity, in the time tool as an assignment.
CREATE FUNCTION page_assignments(project text, person uuid, on_date date, shown_max integer, skipped integer)
RETURNS TABLE (assignment_id uuid, person_id uuid, person_name text, project_id uuid, project_code text,
    entity_code text, labor_category text, starts_on date, ends_on date, approver_id uuid, deputy_id uuid,
    employee_code text, standing jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT a.assignment_id, a.person_id, s.name, a.project_id, j.project_code, j.entity_code, a.labor_category,
           a.starts_on, a.ends_on, a.approver_id, a.deputy_id,
           (SELECT e.employee_code FROM employment e
            WHERE e.person_id = a.person_id AND e.entity_code = j.entity_code AND e.superseded_at IS NULL
              AND daterange(e.starts_on, e.ends_on) && daterange(a.starts_on, a.ends_on)
            ORDER BY e.starts_on DESC LIMIT 1),
           coalesce((SELECT jsonb_agg(jsonb_build_object('connection_key', w.connection_key, 'noun', w.noun,
                                                         'source_ref', w.source_ref, 'state', w.state)
                                      ORDER BY w.connection_key, w.noun)
                     FROM (SELECT x.connection_key, 'employee' AS noun, x.source_ref, 'CONFIRMED' AS state
                           FROM crosswalk x WHERE x.noun = 'employee' AND x.our_id = a.person_id
                             AND x.scope = j.entity_code AND x.superseded_at IS NULL
                           UNION ALL
                           SELECT f.target_connection, f.noun, f.target_code, f.state FROM effect f
                           JOIN effect_payload p USING (business_key)
                           JOIN crosswalk x ON x.connection_key = f.target_connection AND x.noun = 'person'
                                AND x.our_id = a.person_id AND x.superseded_at IS NULL
                                AND x.source_ref = p.content ->> 'person_code'
                           WHERE f.noun = 'assignment' AND f.kind = 'write' AND f.project_id = a.project_id
                             AND f.state <> 'WITHDRAWN'
                             AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = f.business_key
                                             AND u.kind = 'void' AND u.state = 'CONFIRMED')) w), '[]')
    FROM assignment a
    JOIN project j ON j.project_id = a.project_id
    LEFT JOIN subject s ON s.subject_id = a.person_id
    WHERE a.superseded_at IS NULL AND in_sight(j.entity_code)
      AND (project IS NULL OR j.project_code = project)
      AND (person IS NULL OR a.person_id = coalesce((SELECT g.redirect_to FROM person g WHERE g.person_id = person), person))
      AND (on_date IS NULL OR daterange(a.starts_on, a.ends_on) @> on_date)
    ORDER BY j.project_code, s.name, a.starts_on, a.assignment_id LIMIT shown_max OFFSET skipped
$$;
REVOKE ALL ON FUNCTION page_clients(uuid, text, text, integer, integer),
    page_assignments(text, uuid, date, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_clients(uuid, text, text, integer, integer),
    page_assignments(text, uuid, date, integer, integer) TO tieline_web, tieline_worker, tieline_judge;
