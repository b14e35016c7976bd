-- One legal entity, one contract, and the people and tasks that the hours of a proof name; ``people`` and
-- ``tasks`` are what the target calls them.
CREATE TEMP TABLE p_person ON COMMIT DROP AS
    SELECT (n - 1)::text AS n, theirs, md5('prove person ' || (n - 1))::uuid AS id
    FROM unnest(%(people)s::text[]) WITH ORDINALITY AS t (theirs, n);
CREATE TEMP TABLE p_task ON COMMIT DROP AS
    SELECT (n - 1)::text AS n, theirs, md5('prove task ' || (n - 1))::uuid AS id
    FROM unnest(%(tasks)s::text[]) WITH ORDINALITY AS t (theirs, n);
CREATE TEMP TABLE p_one ON COMMIT DROP AS
    SELECT md5('prove client')::uuid AS client_id, md5('prove contract')::uuid AS contract_id,
           md5('prove project')::uuid AS project_id;
INSERT INTO person (person_id, recorded_at) SELECT id, %(early)s FROM p_person;
INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate, starts_on, recorded_at)
    SELECT id, %(entity_code)s, n, true, 60, '2026-01-01', %(early)s FROM p_person;
INSERT INTO client (client_id, recorded_at) SELECT client_id, %(early)s FROM p_one;
INSERT INTO client_version (client_id, name, name_key, is_active, recorded_at)
    SELECT client_id, 'Client of the proof', 'client of the proof', true, %(early)s FROM p_one;
INSERT INTO contract (contract_id, client_id, entity_code, contract_code, recorded_at)
    SELECT contract_id, client_id, %(entity_code)s, 'C0', %(early)s FROM p_one;
INSERT INTO contract_version (contract_id, name, billing_method, currency, is_purchase_order_required,
        allows_unassigned_time, is_active, starts_on, recorded_at)
    SELECT contract_id, 'Contract of the proof', 'time_and_materials', %(currency)s, false, true, true,
           '2026-01-01', %(early)s FROM p_one;
INSERT INTO project (project_id, contract_id, entity_code, project_code, recorded_at)
    SELECT project_id, contract_id, %(entity_code)s, 'P0', %(early)s FROM p_one;
INSERT INTO project_version (project_id, name, status, accepts_time, starts_on, recorded_at)
    SELECT project_id, 'Project of the proof', 'active', true, '2026-01-01', %(early)s FROM p_one;
INSERT INTO task (task_id, project_id, task_name, is_billable, starts_on, recorded_at)
    SELECT t.id, o.project_id, 'Task ' || t.n, true, '2026-01-01', %(early)s FROM p_task t CROSS JOIN p_one o;
INSERT INTO contract_line (contract_id, task_name, labor_category, rate_amount, currency, starts_on, recorded_at)
    SELECT o.contract_id, 'Task ' || t.n, '', %(rate)s, %(currency)s, '2026-01-01', %(early)s
    FROM p_task t CROSS JOIN p_one o;
INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)
    SELECT 'hours', 'person', n, id, '', 'proof', %(early)s::timestamptz FROM p_person
    UNION ALL SELECT 'books', 'employee', theirs, id, %(entity_code)s, 'proof', %(early)s FROM p_person
    UNION ALL SELECT 'hours', 'project', 'P0', project_id, '', 'proof', %(early)s FROM p_one
    UNION ALL SELECT 'hours', 'task', 'P0/' || n, id, '', 'proof', %(early)s FROM p_task
    UNION ALL SELECT 'books', 'erp_task', t.theirs, l.contract_line_id, '', 'proof', %(early)s
    FROM contract_line l JOIN p_one o USING (contract_id) JOIN p_task t ON l.task_name = 'Task ' || t.n;
