-- What was tried before a cut-off, and what came of it; every try is kept.
CREATE TABLE preflight (
    preflight_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period_id     uuid NOT NULL REFERENCES fiscal_period,
    entity_code   text NOT NULL,
    stage         text NOT NULL CHECK (stage IN ('24h', '2h', 'asked')),
    tried_at      timestamptz NOT NULL,
    tried         jsonb NOT NULL
);
CREATE INDEX preflight_period ON preflight (period_id, tried_at DESC);
ALTER TABLE preflight ENABLE ROW LEVEL SECURITY;
ALTER TABLE preflight FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON preflight TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON preflight FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON preflight FOR SELECT TO tieline_web USING (visible_entity(entity_code));
REVOKE UPDATE, DELETE ON preflight FROM tieline_worker;
GRANT SELECT ON preflight TO tieline_web;
