-- The nouns, the two time axes, the time plane, effects and the ledger.
-- Everything a rule may read is valid [starts_on, ends_on) and known [recorded_at, superseded_at).

CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");

-- ---------------------------------------------------------------- policy
CREATE TABLE release (
    release_id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title         text NOT NULL,
    state         text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'current', 'superseded', 'rejected')),
    proposed_by   text NOT NULL,
    proposed_at   timestamptz NOT NULL,
    approved_by   text,
    approved_at   timestamptz,
    reason        text NOT NULL,
    CONSTRAINT release_two_pairs_of_eyes CHECK (approved_by IS NULL OR approved_by <> proposed_by),
    CONSTRAINT release_current_is_approved CHECK (state IN ('draft', 'rejected') OR approved_by IS NOT NULL)
);
CREATE UNIQUE INDEX release_one_current ON release ((true)) WHERE state = 'current';

CREATE TABLE rule (
    release_id    integer NOT NULL REFERENCES release,
    book          text NOT NULL CHECK (book IN ('time', 'provisioning', 'readiness')),
    code          text NOT NULL,
    position      integer NOT NULL,
    scope         text NOT NULL CHECK (scope IN ('row', 'set')),
    applies_when  text NOT NULL,
    predicate     text NOT NULL,
    severity      text NOT NULL CHECK (severity IN ('error', 'warn', 'ignore', 'park')),
    owner_queue   text NOT NULL,
    thing         text NOT NULL,
    message       text NOT NULL,
    fix_hint      text NOT NULL,
    source        text NOT NULL,
    neighbors     text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (release_id, book, code)
);

CREATE TABLE severity_override (
    override_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    release_id    integer NOT NULL REFERENCES release,
    code          text NOT NULL,
    entity_code   text,
    client_id     uuid,
    contract_id   uuid,
    starts_on     date NOT NULL,
    ends_on       date,
    severity      text NOT NULL CHECK (severity IN ('error', 'warn', 'ignore')),
    reason        text NOT NULL
);

-- Named values of a release: late_entry_days, day_seconds_max, write-back switches, owners of fields.
CREATE TABLE policy_value (
    release_id    integer NOT NULL REFERENCES release,
    name          text NOT NULL,
    entity_code   text NOT NULL DEFAULT '',
    value         text NOT NULL,
    reason        text NOT NULL,
    PRIMARY KEY (release_id, name, entity_code)
);

-- ---------------------------------------------------------------- register
CREATE TABLE legal_entity (
    entity_code   text PRIMARY KEY,
    name          text NOT NULL,
    currency      text NOT NULL,
    zone          text NOT NULL,
    erp_connection_key text,
    recorded_at   timestamptz NOT NULL
);

CREATE TABLE fiscal_period (
    period_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entity_code   text NOT NULL REFERENCES legal_entity,
    period_code   text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date NOT NULL CHECK (ends_on > starts_on),
    state         text NOT NULL CHECK (state IN ('open', 'closed')),
    cut_off_at    timestamptz NOT NULL,
    UNIQUE (entity_code, period_code),
    EXCLUDE USING gist (textrange(entity_code, entity_code, '[]') WITH &&, daterange(starts_on, ends_on) WITH &&)
);
CREATE TABLE fiscal_period_state (
    period_id     uuid NOT NULL REFERENCES fiscal_period,
    state         text NOT NULL CHECK (state IN ('open', 'closed')),
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    changed_by    text NOT NULL,
    EXCLUDE USING gist (textrange(period_id::text, period_id::text, '[]') WITH &&,
                        tstzrange(recorded_at, superseded_at) WITH &&)
);

-- Names and addresses of people live here only, by id and deletable.
CREATE TABLE subject (
    subject_id    uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('person', 'contact')),
    name          text NOT NULL,
    email         text,
    recorded_at   timestamptz NOT NULL
);
CREATE INDEX subject_email ON subject (lower(email));

CREATE TABLE person (
    person_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    redirect_to   uuid REFERENCES person,
    recorded_at   timestamptz NOT NULL
);

CREATE TABLE employment (
    employment_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    entity_code   text NOT NULL REFERENCES legal_entity,
    employee_code text NOT NULL,
    is_home       boolean NOT NULL,
    cost_rate     numeric,
    week_seconds  integer,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(person_id::text || entity_code, person_id::text || entity_code, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX employment_person ON employment (person_id);

CREATE TABLE client (
    client_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    redirect_to   uuid REFERENCES client,
    recorded_at   timestamptz NOT NULL
);
CREATE TABLE client_version (
    client_id     uuid NOT NULL REFERENCES client,
    name          text NOT NULL,
    name_key      text NOT NULL,
    vat_number    text,
    street        text,
    postal_code   text,
    city          text,
    country_code  text,
    domain        text,
    parent_client_id uuid REFERENCES client CHECK (parent_client_id <> client_id),
    is_active     boolean NOT NULL,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(client_id::text, client_id::text, '[]') WITH &&,
                        tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX client_version_client ON client_version (client_id) WHERE superseded_at IS NULL;
CREATE INDEX client_version_name ON client_version (name_key) WHERE superseded_at IS NULL;
CREATE INDEX client_version_vat ON client_version (vat_number) WHERE superseded_at IS NULL;

CREATE TABLE contract (
    contract_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id     uuid NOT NULL REFERENCES client,
    entity_code   text NOT NULL REFERENCES legal_entity,
    contract_code text NOT NULL UNIQUE,
    recorded_at   timestamptz NOT NULL
);
CREATE TABLE contract_version (
    contract_id   uuid NOT NULL REFERENCES contract,
    name          text NOT NULL,
    billing_method text NOT NULL,
    currency      text NOT NULL,
    value_amount  numeric,
    cap_amount    numeric,
    purchase_order text,
    is_purchase_order_required boolean NOT NULL,
    practice      text,
    tax_treatment text,
    rate_card     text,
    allows_unassigned_time boolean NOT NULL,
    is_active     boolean NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(contract_id::text, contract_id::text, '[]') WITH &&,
                        tstzrange(recorded_at, superseded_at) WITH &&)
);
-- One rate per task, labor category and date: a rate change is a second line from its date on.
-- labor_category '' is the line for every category; task_name '' for every task.
CREATE TABLE contract_line (
    contract_line_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_id   uuid NOT NULL REFERENCES contract,
    task_name     text NOT NULL,
    labor_category text NOT NULL,
    rate_amount   numeric NOT NULL CHECK (rate_amount >= 0),
    currency      text NOT NULL,
    sold_seconds  bigint,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (
        textrange(contract_id::text || '|' || task_name || '|' || labor_category,
                  contract_id::text || '|' || task_name || '|' || labor_category, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX contract_line_contract ON contract_line (contract_id);

CREATE TABLE project (
    project_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_id   uuid NOT NULL REFERENCES contract,
    entity_code   text NOT NULL REFERENCES legal_entity,
    project_code  text NOT NULL UNIQUE,
    recorded_at   timestamptz NOT NULL
);
CREATE TABLE project_version (
    project_id    uuid NOT NULL REFERENCES project,
    name          text NOT NULL,
    status        text NOT NULL CHECK (status IN ('provisioning', 'active', 'closed', 'compensated')),
    accepts_time  boolean NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(project_id::text, project_id::text, '[]') WITH &&,
                        tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX project_version_project ON project_version (project_id) WHERE superseded_at IS NULL;
CREATE TABLE task (
    task_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id    uuid NOT NULL REFERENCES project,
    task_name     text NOT NULL,
    is_billable   boolean NOT NULL,
    is_leaf       boolean NOT NULL DEFAULT true,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    UNIQUE (project_id, task_name)
);
CREATE TABLE assignment (
    assignment_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    project_id    uuid NOT NULL REFERENCES project,
    labor_category text NOT NULL,
    approver_id   uuid REFERENCES person,
    deputy_id     uuid REFERENCES person,
    planned_seconds bigint,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(person_id::text || project_id::text, person_id::text || project_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX assignment_project ON assignment (project_id);
CREATE INDEX assignment_person ON assignment (person_id);
-- "leave" is the field's word for an absence that was approved.
CREATE TABLE leave (
    leave_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    kind          text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date NOT NULL,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(person_id::text, person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE TABLE intercompany_agreement (
    agreement_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    home_entity_code text NOT NULL REFERENCES legal_entity,
    project_entity_code text NOT NULL REFERENCES legal_entity,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(home_entity_code || '>' || project_entity_code,
                                  home_entity_code || '>' || project_entity_code, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);

-- noun: client, contract, project, task, person, employee, erp_task (our_id = task, scope = rate version), ...
CREATE TABLE crosswalk (
    crosswalk_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_key text NOT NULL REFERENCES connection,
    noun          text NOT NULL,
    source_ref    text NOT NULL,
    our_id        uuid NOT NULL,
    scope         text NOT NULL DEFAULT '',
    because       text NOT NULL,
    starts_on     date NOT NULL DEFAULT '-infinity',
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    EXCLUDE USING gist (textrange(connection_key || '|' || noun || '|' || source_ref,
                                  connection_key || '|' || noun || '|' || source_ref, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&),
    EXCLUDE USING gist (textrange(connection_key || '|' || noun || '|' || our_id::text || '|' || scope,
                                  connection_key || '|' || noun || '|' || our_id::text || '|' || scope, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX crosswalk_source ON crosswalk (connection_key, noun, source_ref);
CREATE INDEX crosswalk_ours ON crosswalk (our_id, noun, connection_key);

-- ---------------------------------------------------------------- intake
CREATE TABLE intake_batch (
    batch_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_key text NOT NULL REFERENCES connection,
    stream        text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('poll', 'hint', 'full', 'file')),
    state         text NOT NULL DEFAULT 'landing' CHECK (state IN ('landing', 'landed', 'judged', 'cancelled')),
    rows          integer NOT NULL DEFAULT 0,
    control       jsonb NOT NULL DEFAULT '{}',
    correlation_id text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    landed_at     timestamptz
);
CREATE TABLE stream_cursor (
    connection_key text NOT NULL REFERENCES connection,
    stream        text NOT NULL,
    cursor        text NOT NULL,
    read_at       timestamptz NOT NULL,
    last_error    text,
    PRIMARY KEY (connection_key, stream)
);
CREATE SEQUENCE raw_record_id;
CREATE TABLE raw_record (
    raw_id        bigint NOT NULL DEFAULT nextval('raw_record_id'),
    received_on   date NOT NULL,
    connection_key text NOT NULL,
    source_epoch  integer NOT NULL,
    object        text NOT NULL,
    source_ref    text NOT NULL,
    raw_hash      bytea NOT NULL,
    body          bytea NOT NULL,
    source_at     timestamptz,
    line_number   integer,
    batch_id      bigint NOT NULL,
    PRIMARY KEY (received_on, raw_id)
) PARTITION BY RANGE (received_on);
CREATE TABLE raw_record_other PARTITION OF raw_record DEFAULT;
CREATE INDEX raw_record_source ON raw_record (connection_key, object, source_ref, raw_hash);

CREATE TABLE dirty_mark (
    connection_key text NOT NULL REFERENCES connection,
    object        text NOT NULL,
    source_ref    text NOT NULL,
    marked_at     timestamptz NOT NULL,
    correlation_id text NOT NULL,
    PRIMARY KEY (connection_key, object, source_ref)
);
-- A key that a complete read did not show: a suspicion until its own record, or a second read, agrees.
CREATE TABLE missing_suspicion (
    connection_key text NOT NULL REFERENCES connection,
    object        text NOT NULL,
    source_ref    text NOT NULL,
    suspected_at  timestamptz NOT NULL,
    PRIMARY KEY (connection_key, object, source_ref)
);
-- Every noun but time: the newest canonical version of each source record.
CREATE TABLE source_version (
    connection_key text NOT NULL,
    source_epoch  integer NOT NULL,
    object        text NOT NULL,
    source_ref    text NOT NULL,
    version       integer NOT NULL,
    is_newest     boolean NOT NULL,
    noun          text NOT NULL,
    data          jsonb NOT NULL,
    is_deleted    boolean NOT NULL,
    material_hash bytea NOT NULL,
    material_version integer NOT NULL,
    source_at     timestamptz,
    recorded_at   timestamptz NOT NULL,
    raw_id        bigint NOT NULL,
    correlation_id text NOT NULL,
    PRIMARY KEY (connection_key, source_epoch, object, source_ref, version)
);
CREATE UNIQUE INDEX source_version_newest ON source_version (connection_key, source_epoch, object, source_ref) WHERE is_newest;
-- Records that could not be understood; each is a member of a case until a later version translates.
CREATE TABLE untranslated (
    connection_key text NOT NULL,
    source_epoch  integer NOT NULL,
    object        text NOT NULL,
    source_ref    text NOT NULL,
    raw_id        bigint NOT NULL,
    reason        text NOT NULL,
    field         text NOT NULL,
    message       text NOT NULL,
    line_number   integer,
    recorded_at   timestamptz NOT NULL,
    healed_at     timestamptz,
    PRIMARY KEY (connection_key, source_epoch, object, source_ref)
);

CREATE TABLE narrative (
    narrative_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text          text NOT NULL
);

CREATE TABLE time_entry (
    entry_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    connection_key text NOT NULL REFERENCES connection,
    source_epoch  integer NOT NULL,
    object        text NOT NULL,
    source_ref    text NOT NULL,
    newest_version integer NOT NULL,
    verdict_id    bigint,
    UNIQUE (connection_key, source_epoch, object, source_ref)
);
CREATE TABLE time_entry_version (
    entry_id      uuid NOT NULL REFERENCES time_entry,
    version       integer NOT NULL,
    is_newest     boolean NOT NULL,
    is_deleted    boolean NOT NULL,
    person_ref    text NOT NULL,
    project_ref   text,
    task_ref      text,
    labor_category text,
    work_date     date,
    zone          text,
    seconds       integer NOT NULL,
    quantum_seconds integer NOT NULL,
    started_at    timestamptz,
    ended_at      timestamptz,
    is_billable   boolean,
    approval      text NOT NULL CHECK (approval IN ('approved', 'not_approved', 'unknown')),
    approval_word text NOT NULL,
    approver_ref  text,
    approved_at   timestamptz,
    created_at    timestamptz,
    narrative_id  bigint REFERENCES narrative ON DELETE SET NULL,
    narrative_length integer NOT NULL,
    narrative_hash bytea,
    material_hash bytea NOT NULL,
    material_version integer NOT NULL,
    source_at     timestamptz,
    recorded_at   timestamptz NOT NULL,
    raw_id        bigint NOT NULL,
    line_number   integer,
    batch_id      bigint NOT NULL REFERENCES intake_batch,
    correlation_id text NOT NULL,
    PRIMARY KEY (entry_id, version)
);
CREATE UNIQUE INDEX time_entry_version_newest ON time_entry_version (entry_id) WHERE is_newest;
CREATE INDEX time_entry_version_day ON time_entry_version (person_ref, work_date) WHERE is_newest;
CREATE INDEX time_entry_version_project ON time_entry_version (project_ref) WHERE is_newest;
CREATE INDEX time_entry_version_batch ON time_entry_version (batch_id);

-- ---------------------------------------------------------------- validation
-- neighbor_key: 'entry:<uuid>', 'day:<person_ref>:<date>', 'project:<ref>', 'contract:<uuid>', ...
CREATE TABLE rejudge (
    rejudge_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    neighbor_key  text NOT NULL,
    because       text NOT NULL,
    correlation_id text NOT NULL,
    recorded_at   timestamptz NOT NULL
);
CREATE INDEX rejudge_key ON rejudge (neighbor_key);

CREATE TABLE verdict (
    verdict_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id      uuid NOT NULL,
    version       integer NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('cleared', 'correct', 'held', 'parked', 'excluded', 'outside')),
    release_id    integer NOT NULL REFERENCES release,
    known_at      timestamptz NOT NULL,
    judged_at     timestamptz NOT NULL,
    person_id     uuid,
    project_id    uuid,
    task_id       uuid,
    contract_id   uuid,
    contract_line_id uuid,
    client_id     uuid,
    entity_code   text,
    home_entity_code text,
    period_id     uuid,
    labor_category text,
    work_date     date,
    seconds       integer NOT NULL,
    is_billable   boolean,
    rate_amount   numeric,
    currency      text,
    amount        numeric,
    posting_hash  bytea,
    neighbor_keys text[] NOT NULL,
    parked_until  timestamptz,
    correlation_id text NOT NULL,
    UNIQUE (verdict_id, entry_id, version, outcome),
    FOREIGN KEY (entry_id, version) REFERENCES time_entry_version
);
CREATE INDEX verdict_entry ON verdict (entry_id, version);
ALTER TABLE time_entry ADD FOREIGN KEY (verdict_id) REFERENCES verdict;
CREATE TABLE verdict_reason (
    verdict_id    bigint NOT NULL REFERENCES verdict,
    code          text NOT NULL,
    severity      text NOT NULL CHECK (severity IN ('error', 'warn', 'park')),
    PRIMARY KEY (verdict_id, code)
);
CREATE INDEX verdict_reason_code ON verdict_reason (code);
-- A person, or a dated policy, said that an hour stays out; with a reason and a second person.
CREATE TABLE exclusion (
    entry_id      uuid PRIMARY KEY REFERENCES time_entry,
    reason        text NOT NULL,
    proposed_by   text NOT NULL,
    approved_by   text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    CHECK (proposed_by <> approved_by)
);

-- ---------------------------------------------------------------- effects and the ledger
-- One row per business event in a target. Nothing from this database goes into the key.
CREATE TABLE effect (
    business_key  uuid PRIMARY KEY,
    connection_key text NOT NULL,
    source_epoch  integer NOT NULL,
    object        text NOT NULL,
    source_ref    text NOT NULL,
    target_connection text NOT NULL REFERENCES connection,
    noun          text NOT NULL,
    part          text NOT NULL,
    effect_no     integer NOT NULL CHECK (effect_no >= 1),
    kind          text NOT NULL CHECK (kind IN ('book', 'void', 'adjust', 'write')),
    undoes_key    uuid REFERENCES effect,
    state         text NOT NULL DEFAULT 'PLANNED' CHECK (state IN
        ('PLANNED', 'INTENT', 'CONFIRMED', 'REJECTED', 'UNKNOWN', 'PROBING', 'ABSENT', 'CONFLICT', 'WITHDRAWN')),
    attempt       integer NOT NULL DEFAULT 0,
    fence_epoch   bigint,
    payload_hash  text,
    target_code   text,
    reason        text,
    due_at        timestamptz,
    sent_at       timestamptz,
    settled_at    timestamptz,
    -- what moves, for time lines
    verdict_id    bigint,
    entry_id      uuid,
    entry_version integer,
    verdict_outcome text CHECK (verdict_outcome IN ('cleared', 'correct')),
    entity_code   text NOT NULL,
    period_id     uuid REFERENCES fiscal_period,
    project_id    uuid,
    seconds       integer,
    amount        numeric,
    currency      text,
    posting_hash  bytea,
    work_class    smallint NOT NULL,
    deadline_at   timestamptz,
    release_id    integer REFERENCES release,
    correlation_id text NOT NULL,
    planned_at    timestamptz NOT NULL,
    UNIQUE (connection_key, source_epoch, object, source_ref, target_connection, noun, part, effect_no),
    UNIQUE (business_key, state),
    FOREIGN KEY (verdict_id, entry_id, entry_version, verdict_outcome)
        REFERENCES verdict (verdict_id, entry_id, version, outcome),
    CHECK (noun <> 'time_line' OR (verdict_id IS NOT NULL AND entry_id IS NOT NULL AND entry_version IS NOT NULL
                                   AND verdict_outcome IS NOT NULL AND seconds IS NOT NULL)),
    CHECK ((kind IN ('void', 'adjust')) = (undoes_key IS NOT NULL) OR kind = 'adjust')
);
CREATE INDEX effect_open ON effect (target_connection, state, due_at) WHERE state NOT IN ('CONFIRMED', 'REJECTED', 'WITHDRAWN');
CREATE INDEX effect_entry ON effect (entry_id);
CREATE INDEX effect_project ON effect (project_id) WHERE noun = 'time_line';
CREATE UNIQUE INDEX effect_undone_once ON effect (undoes_key) WHERE kind = 'void' AND state <> 'WITHDRAWN';

CREATE TABLE effect_transition (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO effect_transition VALUES
    ('PLANNED', 'INTENT'), ('PLANNED', 'WITHDRAWN'),
    ('INTENT', 'CONFIRMED'), ('INTENT', 'REJECTED'), ('INTENT', 'UNKNOWN'), ('INTENT', 'PLANNED'),
    ('UNKNOWN', 'PROBING'), ('PROBING', 'CONFIRMED'), ('PROBING', 'ABSENT'), ('PROBING', 'CONFLICT'),
    ('PROBING', 'UNKNOWN'), ('ABSENT', 'INTENT'), ('ABSENT', 'WITHDRAWN'), ('CONFLICT', 'CONFIRMED'), ('CONFLICT', 'WITHDRAWN'),
    ('REJECTED', 'PLANNED'), ('REJECTED', 'WITHDRAWN');
-- INTENT -> PLANNED is the one way back: the call surely did not leave (no connection, a documented 429).

CREATE FUNCTION effect_keeps_its_states() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT EXISTS (
        SELECT FROM tieline.effect_transition t WHERE t.from_state = OLD.state AND t.to_state = NEW.state
    ) THEN
        RAISE EXCEPTION 'effect % may not go from % to %', OLD.business_key, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.connection_key, NEW.source_epoch, NEW.object, NEW.source_ref, NEW.target_connection, NEW.noun,
        NEW.part, NEW.effect_no, NEW.kind) IS DISTINCT FROM
       (OLD.connection_key, OLD.source_epoch, OLD.object, OLD.source_ref, OLD.target_connection, OLD.noun,
        OLD.part, OLD.effect_no, OLD.kind) THEN
        RAISE EXCEPTION 'the identity of effect % never changes', OLD.business_key USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'INTENT' AND NEW.payload_hash IS NULL THEN
        RAISE EXCEPTION 'effect % has no payload hash', OLD.business_key USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER effect_keeps_its_states BEFORE UPDATE ON effect FOR EACH ROW EXECUTE FUNCTION effect_keeps_its_states();

CREATE FUNCTION effect_begins_planned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'PLANNED' THEN
        RAISE EXCEPTION 'effect % must begin as PLANNED', NEW.business_key USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER effect_begins_planned BEFORE INSERT ON effect FOR EACH ROW EXECUTE FUNCTION effect_begins_planned();

-- What a write of master data asked for; a time line's content is rebuilt from its entry version.
CREATE TABLE effect_payload (
    business_key  uuid PRIMARY KEY REFERENCES effect,
    content       jsonb NOT NULL
);

CREATE SEQUENCE ledger_line_id;
CREATE TABLE ledger_line (
    line_id       bigint NOT NULL DEFAULT nextval('ledger_line_id'),
    booked_month  date NOT NULL,
    booked_at     timestamptz NOT NULL,
    business_key  uuid NOT NULL,
    effect_state  text NOT NULL DEFAULT 'CONFIRMED' CHECK (effect_state = 'CONFIRMED'),
    entry_id      uuid NOT NULL,
    entry_version integer NOT NULL,
    target_connection text NOT NULL,
    target_code   text,
    entity_code   text NOT NULL,
    period_id     uuid NOT NULL,
    client_id     uuid NOT NULL,
    contract_id   uuid NOT NULL,
    contract_line_id uuid,
    project_id    uuid NOT NULL,
    task_id       uuid,
    person_id     uuid NOT NULL,
    labor_category text NOT NULL,
    work_date     date NOT NULL,
    is_billable   boolean NOT NULL,
    seconds       integer NOT NULL,
    target_seconds integer NOT NULL,
    rate_amount   numeric,
    amount        numeric,
    currency      text,
    reverses_line_id bigint,
    correlation_id text NOT NULL,
    PRIMARY KEY (booked_month, line_id),
    UNIQUE (booked_month, business_key),
    FOREIGN KEY (business_key, effect_state) REFERENCES effect (business_key, state),
    CHECK ((reverses_line_id IS NOT NULL) = (seconds < 0) OR seconds = 0)
) PARTITION BY RANGE (booked_month);
CREATE TABLE ledger_line_other PARTITION OF ledger_line DEFAULT;
CREATE INDEX ledger_line_entry ON ledger_line (entry_id);
CREATE INDEX ledger_line_project ON ledger_line (project_id, work_date);
CREATE INDEX ledger_line_contract ON ledger_line (contract_id);

CREATE FUNCTION ledger_only_gains() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger only ever gains lines' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER ledger_only_gains BEFORE UPDATE OR DELETE ON ledger_line FOR EACH ROW EXECUTE FUNCTION ledger_only_gains();

-- Lines given to finance as a file, until reconciliation has matched or released them.
CREATE TABLE handed_over (
    entry_id      uuid PRIMARY KEY REFERENCES time_entry,
    file_name     text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    released_at   timestamptz
);

-- ---------------------------------------------------------------- casework
CREATE TABLE case_file (
    case_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    reason        text NOT NULL,
    owner_queue   text NOT NULL,
    thing_kind    text NOT NULL,
    thing_key     text NOT NULL,
    entity_code   text,
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'dismissed')),
    is_incident   boolean NOT NULL DEFAULT false,
    assigned_to   text,
    opened_at     timestamptz NOT NULL,
    due_at        timestamptz,
    closed_at     timestamptz,
    closed_because text,
    dismissed_by  text,
    correlation_id text NOT NULL,
    details       jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX case_file_one_open ON case_file (reason, owner_queue, thing_kind, thing_key) WHERE state = 'open';
CREATE TABLE case_member (
    case_id       uuid NOT NULL REFERENCES case_file,
    member_kind   text NOT NULL,
    member_key    text NOT NULL,
    entry_id      uuid REFERENCES time_entry,
    seconds       integer,
    amount        numeric,
    currency      text,
    joined_at     timestamptz NOT NULL,
    left_at       timestamptz,
    PRIMARY KEY (case_id, member_kind, member_key)
);
CREATE INDEX case_member_entry ON case_member (entry_id) WHERE left_at IS NULL;

-- ---------------------------------------------------------------- provisioning
CREATE TABLE provisioning_plan (
    plan_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    connection_key text NOT NULL,
    source_epoch  integer NOT NULL,
    deal_ref      text NOT NULL,
    project_group text NOT NULL DEFAULT '',
    state         text NOT NULL CHECK (state IN
        ('blocked', 'ready', 'running', 'active', 'compensating', 'compensated', 'stuck')),
    entity_code   text,
    contract_id   uuid REFERENCES contract,
    project_id    uuid REFERENCES project,
    plan          jsonb NOT NULL,
    blockers      jsonb NOT NULL DEFAULT '[]',
    won_at        timestamptz,
    planned_at    timestamptz NOT NULL,
    active_at     timestamptz,
    release_id    integer REFERENCES release,
    known_at      timestamptz NOT NULL,
    correlation_id text NOT NULL,
    UNIQUE (connection_key, source_epoch, deal_ref, project_group)
);

-- The digest of kernel.keys.business_key, for sets; a test holds the two equal.
CREATE FUNCTION key_part(word text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT int4send(octet_length(convert_to(word, 'UTF8'))) || convert_to(word, 'UTF8')
$$;
CREATE FUNCTION business_key(connection_key text, source_epoch integer, object text, source_ref text,
    target_connection text, noun text, part text, effect_no integer)
RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT encode(substring(sha256(
        tieline.key_part(connection_key) || tieline.key_part(source_epoch::text) || tieline.key_part(object)
        || tieline.key_part(source_ref) || tieline.key_part(target_connection) || tieline.key_part(noun)
        || tieline.key_part(part) || tieline.key_part(effect_no::text)) FOR 16), 'hex')::uuid
$$;
