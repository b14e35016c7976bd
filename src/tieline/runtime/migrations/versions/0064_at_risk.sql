-- Until when the hours of a project wait for a signature; empty where nothing is at risk.
ALTER TABLE project_version ADD COLUMN at_risk_until timestamptz;

-- Who answers for what is worked before a deal is signed, up to how much and until when. Other terms are another row.
CREATE TABLE project_risk (
    risk_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    plan_id       uuid NOT NULL REFERENCES provisioning_plan,
    entity_code   text NOT NULL REFERENCES legal_entity,
    sponsor       text NOT NULL,
    limit_amount  numeric NOT NULL CHECK (limit_amount > 0),
    currency      text NOT NULL,
    ends_on       date NOT NULL,
    proposed_by   text NOT NULL,
    approved_by   text NOT NULL,
    opened_at     timestamptz NOT NULL,
    ended_at      timestamptz,
    ended_because text CHECK (ended_because IN ('won', 'lost', 'replaced', 'taken_back')),
    CHECK (proposed_by <> approved_by),
    CHECK ((ended_at IS NULL) = (ended_because IS NULL))
);
CREATE UNIQUE INDEX project_risk_open ON project_risk (plan_id) WHERE ended_at IS NULL;
-- What waits is little: its value is counted up project by project.
CREATE INDEX verdict_waiting ON verdict (project_id) WHERE outcome IN ('parked', 'held');

ALTER TABLE project_risk ENABLE ROW LEVEL SECURITY;
ALTER TABLE project_risk FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON project_risk TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON project_risk FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON project_risk FOR SELECT TO tieline_web USING (visible_entity(entity_code));
REVOKE ALL ON project_risk FROM tieline_worker, tieline_web, tieline_judge;
GRANT SELECT, INSERT ON project_risk TO tieline_worker;
GRANT UPDATE (ended_at, ended_because) ON project_risk TO tieline_worker;
GRANT SELECT ON project_risk TO tieline_web, tieline_judge;

ALTER TABLE notice DROP CONSTRAINT notice_kind_check,
    ADD CHECK (kind IN ('escalation', 'unconfirmed', 'digest', 'reminder', 'risk'));
