-- Events are queued for those who asked to hear them: connections of the kind 'events'. What was queued
-- for nobody is not kept waiting.
DELETE FROM outbox;
ALTER TABLE outbox ADD COLUMN connection_key text NOT NULL REFERENCES connection,
    ADD COLUMN queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN sent_at timestamptz;
DROP INDEX outbox_waiting;
CREATE INDEX outbox_waiting ON outbox (connection_key, aggregate, event_id) WHERE state = 'waiting';
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (connection_key, due_at, outbox_id) WHERE state = 'waiting';
CREATE INDEX outbox_failed ON outbox (connection_key) WHERE state = 'failed';
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE state = 'sent';
