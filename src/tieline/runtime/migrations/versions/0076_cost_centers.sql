-- The cost center of a contract's project, and what other systems call one.
ALTER TABLE contract_version ADD COLUMN cost_center text;

-- Every row that is there satisfies them: none is read.
ALTER TABLE inbound_code DROP CONSTRAINT inbound_code_kind_check;
ALTER TABLE inbound_code ADD CONSTRAINT inbound_code_kind_check CHECK (kind IN
    ('stage', 'practice', 'billing_method', 'tax_treatment', 'currency', 'labor_category', 'cost_center')) NOT VALID;
ALTER TABLE outbound_code DROP CONSTRAINT outbound_code_kind_check;
ALTER TABLE outbound_code ADD CONSTRAINT outbound_code_kind_check
    CHECK (kind IN ('labor_category', 'cost_center')) NOT VALID;
