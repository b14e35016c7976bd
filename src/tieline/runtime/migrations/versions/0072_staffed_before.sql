-- Whoever was assigned in the time tool before another client took the contract over still is: the write names the
-- project of the client before, and the record there is the same.
DO $$
DECLARE
    body text := pg_get_functiondef('page_assignments(text, uuid, text, date, integer, integer)'::regprocedure);
    told text[];
BEGIN
    FOREACH told SLICE 1 IN ARRAY ARRAY[
        ['), written AS MATERIALIZED (',
         '), same_work AS (
        SELECT DISTINCT project_id, project_id AS written_for FROM shown
        UNION
        SELECT w.project_id, n.project_id FROM shown w JOIN novation m ON m.to_project_id = w.project_id
        JOIN novation n ON n.plan_id = m.plan_id AND n.begins_on <= m.begins_on
    ), written AS MATERIALIZED ('],
        ['SELECT DISTINCT ON (f.project_id, f.target_connection, p.content ->> ''person_code'') f.project_id,',
         'SELECT DISTINCT ON (b.project_id, f.target_connection, p.content ->> ''person_code'') b.project_id,'],
        ['FROM effect f JOIN effect_payload p ON p.business_key = f.business_key',
         'FROM same_work b JOIN effect f ON f.project_id = b.written_for
        JOIN effect_payload p ON p.business_key = f.business_key'],
        ['WHERE f.project_id IN (SELECT project_id FROM shown) AND f.noun = ''assignment''',
         'WHERE f.noun = ''assignment'''],
        ['ORDER BY f.project_id, f.target_connection, p.content ->> ''person_code'', f.planned_at DESC',
         'ORDER BY b.project_id, f.target_connection, p.content ->> ''person_code'', f.planned_at DESC']]
    LOOP
        IF position(told[1] IN body) = 0 THEN
            RAISE EXCEPTION 'page_assignments does not read what was written as it did: %', told[1];
        END IF;
        body := replace(body, told[1], told[2]);
    END LOOP;
    EXECUTE body;
END $$;
