-- What somebody was shown before they said yes. It is applied only while it still says the same.
-- shown_no says what was shown last; showing a plan once more moves it to the end.
CREATE SEQUENCE shown_plan_no;
CREATE TABLE shown_plan (
    shown_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    shown_no      bigint NOT NULL DEFAULT nextval('shown_plan_no'),
    kind          text NOT NULL,
    subject       text NOT NULL,
    entity_code   text,
    digest        text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    content       jsonb NOT NULL,
    shown_to      text NOT NULL,
    shown_at      timestamptz NOT NULL,
    applied_by    text,
    applied_at    timestamptz,
    CHECK ((applied_by IS NULL) = (applied_at IS NULL))
);
-- Shown again without a difference it is the same plan; once it was applied the next one is another.
CREATE UNIQUE INDEX shown_plan_waiting ON shown_plan (kind, subject, digest) WHERE applied_at IS NULL;
CREATE INDEX shown_plan_subject ON shown_plan (kind, subject, shown_no DESC);

ALTER TABLE shown_plan ENABLE ROW LEVEL SECURITY;
ALTER TABLE shown_plan FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON shown_plan TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON shown_plan FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON shown_plan FOR SELECT TO tieline_web USING (
    tieline.visible_entity(entity_code) OR (entity_code IS NULL
        AND coalesce(current_setting('tieline.entities', true), '') <> ''));
GRANT SELECT, INSERT, UPDATE ON shown_plan TO tieline_worker;
GRANT SELECT ON shown_plan TO tieline_web, tieline_judge;
