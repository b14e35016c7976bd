-- Whose a running contract was before another client took it over: its contract and project until the day.
CREATE TABLE novation (
    novation_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    plan_id       uuid NOT NULL REFERENCES provisioning_plan,
    entity_code   text NOT NULL REFERENCES legal_entity,
    client_id     uuid NOT NULL REFERENCES client,
    contract_id   uuid NOT NULL UNIQUE REFERENCES contract,
    project_id    uuid NOT NULL UNIQUE REFERENCES project,
    to_client_id  uuid NOT NULL REFERENCES client,
    to_project_id uuid NOT NULL REFERENCES project,
    begins_on     date NOT NULL,
    proposed_by   text NOT NULL,
    approved_by   text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    CHECK (proposed_by <> approved_by)
);
CREATE INDEX novation_plan ON novation (plan_id);

ALTER TABLE novation ENABLE ROW LEVEL SECURITY;
ALTER TABLE novation FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON novation TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON novation FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON novation FOR SELECT TO tieline_web USING (visible_entity(entity_code));
REVOKE ALL ON novation FROM tieline_worker, tieline_web, tieline_judge;
GRANT SELECT, INSERT ON novation TO tieline_worker;
GRANT SELECT ON novation TO tieline_web, tieline_judge;
