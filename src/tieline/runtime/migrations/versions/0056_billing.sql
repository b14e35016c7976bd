-- What a part of a schedule is for, and whether the client agreed to it: a milestone waits for its day of confirmation,
-- a fee may be shortened to the days of the contract, an advance may include hours of the days that it covers.
ALTER TABLE billing_schedule
    ADD COLUMN confirmed_on date,
    ADD COLUMN covers_from date,
    ADD COLUMN covers_until date,
    ADD COLUMN is_prorated boolean,
    ADD COLUMN included_hours numeric CHECK (included_hours >= 0),
    ADD CHECK ((covers_from IS NULL) = (covers_until IS NULL) AND (covers_until IS NULL OR covers_until > covers_from)),
    ADD CHECK (covers_from IS NOT NULL OR (included_hours IS NULL AND is_prorated IS NOT TRUE));
-- Within how many days a client takes a bill for time, and for a contract that has ended; unknown where it says nothing.
ALTER TABLE client_guideline
    ADD COLUMN bill_days_max integer CHECK (bill_days_max >= 0),
    ADD COLUMN bill_days_after_end_max integer CHECK (bill_days_after_end_max >= 0);

-- What of a schedule an invoice took: each part once, whatever becomes of its row.
CREATE TABLE billed_item (
    contract_id   uuid NOT NULL REFERENCES contract,
    item_code     text NOT NULL,
    item          text NOT NULL,
    entity_code   text NOT NULL REFERENCES legal_entity,
    invoice_id    uuid NOT NULL REFERENCES invoice_record,
    amount        numeric NOT NULL,
    currency      text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (contract_id, item_code)
);
CREATE INDEX billed_item_invoice ON billed_item (invoice_id);
ALTER TABLE billed_item ENABLE ROW LEVEL SECURITY;
ALTER TABLE billed_item FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON billed_item TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON billed_item FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON billed_item FOR SELECT TO tieline_web USING (visible_entity(entity_code));
GRANT SELECT, INSERT ON billed_item TO tieline_worker;
REVOKE UPDATE, DELETE, TRUNCATE ON billed_item FROM tieline_worker;
GRANT SELECT ON billed_item TO tieline_web, tieline_judge;
