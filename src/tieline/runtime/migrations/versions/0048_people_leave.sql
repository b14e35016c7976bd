-- Somebody may be let in for a while: an auditor until the audit is over.
ALTER TABLE person_login ADD COLUMN ends_at timestamptz;
