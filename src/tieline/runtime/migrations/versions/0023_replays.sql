-- What is understood again comes from what was kept, not from its source.
ALTER TABLE intake_batch DROP CONSTRAINT intake_batch_kind_check;
ALTER TABLE intake_batch ADD CONSTRAINT intake_batch_kind_check
    CHECK (kind IN ('poll', 'hint', 'full', 'file', 'replay'));
