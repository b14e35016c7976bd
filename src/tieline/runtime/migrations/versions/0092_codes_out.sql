-- What an ERP calls a unit, a tax treatment, a currency and what is billed; and what a CRM calls what is billed.
-- Every row that is there satisfies them: none is read.
ALTER TABLE inbound_code DROP CONSTRAINT inbound_code_kind_check;
ALTER TABLE inbound_code ADD CONSTRAINT inbound_code_kind_check CHECK (kind IN
    ('stage', 'practice', 'billing_method', 'tax_treatment', 'currency', 'labor_category', 'cost_center',
     'billing_code')) NOT VALID;
ALTER TABLE outbound_code DROP CONSTRAINT outbound_code_kind_check;
ALTER TABLE outbound_code ADD CONSTRAINT outbound_code_kind_check CHECK (kind IN
    ('labor_category', 'cost_center', 'practice', 'billing_code', 'currency', 'tax_treatment', 'unit')) NOT VALID;
