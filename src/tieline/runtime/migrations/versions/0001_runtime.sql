-- What everything runs on. Lease time is clock_timestamp(); business time is always an argument.

-- Rights that later tables inherit: the worker works, the judge reads, the web role gets nothing
-- unless a migration grants it together with its row policy.
GRANT USAGE ON SCHEMA tieline TO tieline_worker, tieline_web, tieline_judge, tieline_audit;
ALTER DEFAULT PRIVILEGES IN SCHEMA tieline GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tieline_worker;
ALTER DEFAULT PRIVILEGES IN SCHEMA tieline GRANT SELECT ON TABLES TO tieline_judge;
ALTER DEFAULT PRIVILEGES IN SCHEMA tieline GRANT USAGE, SELECT ON SEQUENCES TO tieline_worker;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON schema_version FROM tieline_worker, tieline_web;
GRANT SELECT ON schema_version TO tieline_worker, tieline_judge, tieline_web;

-- Policies of the web role read the entities that a request set for its transaction:
-- a comma list; unset and empty alike mean no rows.
CREATE FUNCTION visible_entity(entity_code text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(entity_code = ANY (string_to_array(current_setting('tieline.entities', true), ',')), false)
$$;

-- ---------------------------------------------------------------- connections
CREATE TABLE connection (
    connection_key text PRIMARY KEY,
    system        text NOT NULL,
    kind          text NOT NULL,
    mode          text NOT NULL DEFAULT 'observe' CHECK (mode IN ('observe', 'propose', 'act')),
    config        jsonb NOT NULL DEFAULT '{}',
    source_epoch  integer NOT NULL DEFAULT 0 CHECK (source_epoch >= 0),
    settle_seconds integer NOT NULL DEFAULT 120 CHECK (settle_seconds >= 0),
    paused        boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE connection_go_live (
    connection_key text NOT NULL REFERENCES connection,
    entity_code   text NOT NULL,
    go_live_on    date NOT NULL,
    PRIMARY KEY (connection_key, entity_code)
);
-- Envelopes only; the master key never enters the database.
CREATE TABLE secret (
    connection_key text NOT NULL,
    name          text NOT NULL,
    key_id        text NOT NULL,
    envelope      bytea NOT NULL,
    stored_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (connection_key, name)
);
REVOKE ALL ON secret FROM tieline_judge;

-- ---------------------------------------------------------------- executors and leases
CREATE TABLE executor (
    executor_id   text PRIMARY KEY,
    host          text NOT NULL,
    pid           integer NOT NULL,
    pid_started   bigint NOT NULL,
    version       text NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until   timestamptz NOT NULL,
    state         text NOT NULL DEFAULT 'alive' CHECK (state IN ('alive', 'stopped', 'lost'))
);
CREATE INDEX executor_alive ON executor (lease_until) WHERE state = 'alive';

CREATE TABLE lease (
    name          text PRIMARY KEY,
    holder        text NOT NULL,
    epoch         bigint NOT NULL DEFAULT 1,
    until         timestamptz NOT NULL
);

-- ---------------------------------------------------------------- work that waits
CREATE TABLE work_item (
    work_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL,
    subject       text NOT NULL,
    work_class    smallint NOT NULL CHECK (work_class BETWEEN 0 AND 3),
    due_at        timestamptz NOT NULL,
    deadline      timestamptz,
    state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    -- Asked for again while it was running: it runs once more, this soon.
    again_in_seconds integer,
    -- After an error nobody may pull it earlier than this.
    hold_until    timestamptz NOT NULL DEFAULT '-infinity',
    attempt       integer NOT NULL DEFAULT 0,
    errors        integer NOT NULL DEFAULT 0,
    executor_id   text,
    workflow_id   text,
    last_error    text,
    correlation_id text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX work_item_once ON work_item (kind, subject) WHERE state IN ('waiting', 'running');
CREATE INDEX work_item_due ON work_item (due_at) WHERE state = 'waiting';
CREATE INDEX work_item_running ON work_item (executor_id) WHERE state = 'running';
CREATE INDEX work_item_finished ON work_item (updated_at) WHERE state IN ('done', 'failed');
CREATE UNIQUE INDEX work_item_workflow ON work_item (workflow_id);

-- ---------------------------------------------------------------- events
-- Business events are kept for ever: ids, numbers and codes only, never names or texts.
CREATE TABLE event (
    event_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_uuid    uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    type          text NOT NULL,
    subject_kind  text NOT NULL,
    subject_id    text NOT NULL,
    entity_code   text,
    occurred_at   timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL,
    correlation_id text NOT NULL,
    data          jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX event_subject ON event (subject_kind, subject_id);
CREATE INDEX event_type ON event (type, occurred_at);
CREATE INDEX event_correlation ON event (correlation_id);
CREATE FUNCTION event_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are kept as they were' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER event_is_kept BEFORE UPDATE OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION event_is_kept();
ALTER TABLE event ENABLE ROW LEVEL SECURITY;
ALTER TABLE event FORCE ROW LEVEL SECURITY;
CREATE POLICY event_worker ON event TO tieline_worker, tieline_judge, tieline_owner USING (true) WITH CHECK (true);
CREATE POLICY event_web ON event FOR SELECT TO tieline_web USING (tieline.visible_entity(entity_code));
CREATE POLICY event_web_insert ON event FOR INSERT TO tieline_web WITH CHECK (tieline.visible_entity(entity_code));

CREATE TABLE outbox (
    outbox_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      bigint NOT NULL REFERENCES event,
    aggregate     text NOT NULL,
    state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    attempts      integer NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error    text
);
CREATE INDEX outbox_waiting ON outbox (aggregate, event_id) WHERE state = 'waiting';
CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'waiting';

CREATE TABLE inbox (
    connection_key text NOT NULL,
    source_event_id text NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (connection_key, source_event_id)
);

-- ---------------------------------------------------------------- budgets and counts
-- grants is a ring of the last limit_max grants: a call may go when the oldest has left the window.
CREATE TABLE connection_budget (
    connection_key text PRIMARY KEY,
    limit_max     integer NOT NULL CHECK (limit_max BETWEEN 1 AND 1000),
    window_seconds integer NOT NULL CHECK (window_seconds >= 1),
    granted       bigint NOT NULL DEFAULT 0,
    grants        timestamptz[] NOT NULL DEFAULT '{}',
    paused_until  timestamptz NOT NULL DEFAULT '-infinity',
    breaker       text NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'half_open')),
    open_until    timestamptz NOT NULL DEFAULT '-infinity',
    failures      integer NOT NULL DEFAULT 0,
    openings      integer NOT NULL DEFAULT 0,
    retry_tenths  integer NOT NULL DEFAULT 100 CHECK (retry_tenths BETWEEN 0 AND 1000)
);

CREATE TABLE outcome_count (
    connection_key text NOT NULL,
    operation     text NOT NULL,
    outcome       text NOT NULL,
    count         bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (connection_key, operation, outcome)
);

-- ---------------------------------------------------------------- rights of the web role
-- It shows connections, schedules work in the caller's transaction, and publishes events.
GRANT SELECT ON connection, connection_go_live, executor, work_item, connection_budget, outcome_count TO tieline_web;
GRANT INSERT (kind, subject, work_class, due_at, deadline, correlation_id),
      UPDATE (due_at, deadline, work_class, again_in_seconds, updated_at) ON work_item TO tieline_web;
GRANT SELECT, INSERT ON event TO tieline_web;
GRANT SELECT, INSERT ON outbox TO tieline_web;
GRANT SELECT, INSERT ON inbox TO tieline_web;
GRANT INSERT, SELECT, DELETE, UPDATE ON secret TO tieline_web;
REVOKE SELECT ON secret FROM tieline_web;
GRANT SELECT (connection_key, name, stored_at) ON secret TO tieline_web;
REVOKE UPDATE, DELETE ON event FROM tieline_worker;
