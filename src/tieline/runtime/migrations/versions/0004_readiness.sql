-- People, rights and approvals; casework upkeep; readiness, releases and invoices; revenue status;
-- row security by legal entity for the web role.

-- ---------------------------------------------------------------- casework
-- What the upkeep from verdicts brought in, the upkeep may take out; what was asked for stays.
ALTER TABLE case_member ADD COLUMN is_synced boolean NOT NULL DEFAULT false;
ALTER TABLE case_member ADD COLUMN basis text NOT NULL DEFAULT 'unpriced'
    CHECK (basis IN ('price', 'cost', 'unpriced'));
CREATE INDEX case_member_synced ON case_member (member_kind, member_key) WHERE left_at IS NULL AND is_synced;

-- What upkeep looks for is rare among what stands.
CREATE INDEX verdict_held ON verdict (entry_id) WHERE outcome = 'held';
CREATE INDEX effect_refused ON effect (target_connection) WHERE state IN ('REJECTED', 'CONFLICT');
CREATE INDEX untranslated_open ON untranslated (connection_key) WHERE healed_at IS NULL;

-- The word of a reason says which reference nobody knows: time.task_unknown is about a task.
CREATE FUNCTION case_mapping_key(code text, connection_key text, person_ref text, project_ref text,
    task_ref text, labor_category text, approval_word text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT connection_key || CASE
        WHEN code LIKE '%person%' OR code LIKE '%employ%' THEN ':person:' || person_ref
        WHEN code LIKE '%labor%' OR code LIKE '%category%'
            THEN ':labor_category:' || coalesce(labor_category, '')
        WHEN code LIKE '%task%'
            THEN ':task:' || coalesce(project_ref, '') || '/' || coalesce(task_ref, '')
        WHEN code LIKE '%approval%' THEN ':approval:' || approval_word
        ELSE ':project:' || coalesce(project_ref, '') END
$$;

-- Every held hour with every error it has, and the thing a person must fix for it.
CREATE VIEW case_wanted_time AS
SELECT x.code AS reason, coalesce(r.owner_queue, 'integration') AS owner_queue,
       k.thing_kind, k.thing_key, v.entity_code, 'time_entry'::text AS member_kind,
       t.entry_id::text AS member_key, t.entry_id, v.seconds,
       CASE WHEN v.amount IS NOT NULL THEN v.amount
            WHEN c.cost_rate IS NOT NULL THEN round(v.seconds * c.cost_rate / 3600, 2) END AS amount,
       CASE WHEN v.amount IS NOT NULL THEN v.currency
            WHEN c.cost_rate IS NOT NULL THEN c.currency END AS currency,
       CASE WHEN v.amount IS NOT NULL THEN 'price' WHEN c.cost_rate IS NOT NULL THEN 'cost'
            ELSE 'unpriced' END AS basis,
       p.cut_off_at AS due_at, v.correlation_id,
       coalesce(jsonb_build_object('message', r.message, 'fix', r.fix_hint), '{}') AS details
FROM time_entry t
JOIN verdict v ON v.verdict_id = t.verdict_id AND v.entry_id = t.entry_id AND v.outcome = 'held'
JOIN verdict_reason x ON x.verdict_id = v.verdict_id AND x.severity = 'error'
JOIN time_entry_version w ON w.entry_id = v.entry_id AND w.version = v.version
LEFT JOIN rule r ON r.release_id = v.release_id AND r.book = 'time' AND r.code = x.code
LEFT JOIN fiscal_period p ON p.period_id = v.period_id
LEFT JOIN intake_batch b ON b.batch_id = w.batch_id
LEFT JOIN LATERAL (
    SELECT e.cost_rate, l.currency FROM employment e JOIN legal_entity l USING (entity_code)
    WHERE e.person_id = v.person_id AND e.is_home AND e.superseded_at IS NULL AND e.cost_rate IS NOT NULL
      AND daterange(e.starts_on, e.ends_on) @> v.work_date
    ORDER BY e.entity_code LIMIT 1
) c ON v.amount IS NULL
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN r.thing = 'project' AND w.project_ref IS NOT NULL THEN 'project'
        WHEN r.thing = 'person_week' AND w.work_date IS NOT NULL THEN 'person_week'
        WHEN r.thing = 'person' THEN 'person'
        WHEN r.thing = 'mapping' THEN 'mapping'
        WHEN r.thing = 'contract' AND v.contract_id IS NOT NULL THEN 'contract'
        WHEN r.thing = 'period' AND v.period_id IS NOT NULL THEN 'period'
        WHEN r.thing = 'file' THEN 'file'
        ELSE 'entry' END AS thing_kind
) z
CROSS JOIN LATERAL (
    SELECT z.thing_kind, CASE z.thing_kind
        WHEN 'project' THEN t.connection_key || ':' || w.project_ref
        WHEN 'person_week' THEN t.connection_key || ':' || w.person_ref || ':'
            || to_char(date_trunc('week', w.work_date), 'YYYY-MM-DD')
        WHEN 'person' THEN t.connection_key || ':' || w.person_ref
        WHEN 'mapping' THEN tieline.case_mapping_key(x.code, t.connection_key, w.person_ref, w.project_ref,
                                                     w.task_ref, w.labor_category, w.approval_word)
        WHEN 'contract' THEN v.contract_id::text
        WHEN 'period' THEN v.period_id::text
        WHEN 'file' THEN t.connection_key || ':' || coalesce(b.control ->> 'file_name', b.batch_id::text)
        ELSE t.connection_key || ':' || t.source_ref END AS thing_key
) k;

-- Records that nobody could read: each bad row of a file is its own thing to fix.
CREATE VIEW case_wanted_raw AS
SELECT u.reason, 'integration'::text AS owner_queue,
       CASE WHEN u.line_number IS NULL THEN 'record' ELSE 'file_line' END AS thing_kind,
       u.connection_key || ':' || u.object || ':' || u.source_ref
           || coalesce(':line ' || u.line_number, '') AS thing_key,
       NULL::text AS entity_code, 'raw_record'::text AS member_kind,
       u.connection_key || ':' || u.source_epoch || ':' || u.object || ':' || u.source_ref || ':'
           || u.raw_id AS member_key,
       NULL::uuid AS entry_id, NULL::integer AS seconds, NULL::numeric AS amount, NULL::text AS currency,
       'unpriced'::text AS basis, NULL::timestamptz AS due_at, 'raw:' || u.raw_id AS correlation_id,
       jsonb_strip_nulls(jsonb_build_object('message', u.message, 'field', nullif(u.field, ''),
                                            'line_number', u.line_number::text)) AS details
FROM untranslated u
WHERE u.healed_at IS NULL;

-- Writes that a target refused, or whose key stands for something else there.
CREATE VIEW case_wanted_effect AS
SELECT 'posted.' || lower(e.state) AS reason, 'integration'::text AS owner_queue, 'target'::text AS thing_kind,
       e.target_connection || ':' || e.noun || ':' || coalesce(e.entity_code, '') || ':'
           || CASE e.state WHEN 'REJECTED' THEN coalesce(e.reason, '') || coalesce(':' || e.project_id, '')
                           ELSE e.business_key::text END AS thing_key,
       e.entity_code, 'effect'::text AS member_kind, e.business_key::text AS member_key, e.entry_id,
       abs(e.seconds) AS seconds, abs(e.amount) AS amount, e.currency,
       CASE WHEN e.amount IS NULL THEN 'unpriced' ELSE 'price' END AS basis, e.deadline_at AS due_at,
       e.correlation_id, jsonb_build_object('message', coalesce(e.reason, '')) AS details
FROM effect e
WHERE e.state IN ('REJECTED', 'CONFLICT');

CREATE VIEW case_wanted AS
SELECT * FROM case_wanted_time
UNION ALL SELECT * FROM case_wanted_raw
UNION ALL SELECT * FROM case_wanted_effect;
-- The planner cannot guess how much is held; a function tells it "many", so that it hashes.
CREATE FUNCTION case_wanted_rows() RETURNS SETOF case_wanted LANGUAGE plpgsql STABLE ROWS 20000 AS $$
BEGIN
    RETURN QUERY SELECT * FROM tieline.case_wanted;
END $$;

-- Judge, read or send the members of a case again. Runs with the owner's rights, because pages may not touch
-- effects or unread records; so it looks itself whether the caller may see the case.
CREATE FUNCTION replay_case_members(replayed_case uuid, replayed_at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    replayed case_file;
    hours integer;
    records integer;
    writes integer;
BEGIN
    SELECT * INTO replayed FROM case_file WHERE case_id = replayed_case AND state = 'open';
    IF NOT FOUND OR (session_user = 'tieline_web' AND replayed.entity_code IS NOT NULL
                     AND NOT visible_entity(replayed.entity_code)) THEN
        RAISE EXCEPTION 'there is no open case %', replayed_case USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT 'entry:' || m.entry_id, 'case.replay:' || replayed_case, replayed.correlation_id, replayed_at
    FROM case_member m
    WHERE m.case_id = replayed_case AND m.left_at IS NULL AND m.entry_id IS NOT NULL;
    GET DIAGNOSTICS hours = ROW_COUNT;
    INSERT INTO dirty_mark (connection_key, object, source_ref, marked_at, correlation_id)
    SELECT u.connection_key, u.object, u.source_ref, replayed_at, replayed.correlation_id
    FROM case_member m
    JOIN untranslated u ON m.member_key = u.connection_key || ':' || u.source_epoch || ':' || u.object || ':'
         || u.source_ref || ':' || u.raw_id
    WHERE m.case_id = replayed_case AND m.left_at IS NULL AND m.member_kind = 'raw_record'
    ON CONFLICT (connection_key, object, source_ref) DO NOTHING;
    GET DIAGNOSTICS records = ROW_COUNT;
    UPDATE effect e SET state = 'PLANNED', due_at = NULL
    FROM case_member m
    WHERE m.case_id = replayed_case AND m.left_at IS NULL AND m.member_kind = 'effect'
      AND e.business_key = m.member_key::uuid AND e.state = 'REJECTED';
    GET DIAGNOSTICS writes = ROW_COUNT;
    RETURN hours + records + writes;
END $$;
REVOKE EXECUTE ON FUNCTION replay_case_members FROM PUBLIC;

-- ---------------------------------------------------------------- governance
CREATE TABLE person_login (
    login         text PRIMARY KEY CHECK (login = lower(login) AND login <> ''),
    display_name  text NOT NULL,
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2%'),
    roles         text[] NOT NULL,
    entities      text[] NOT NULL,
    is_active     boolean NOT NULL DEFAULT true,
    failed_attempts integer NOT NULL DEFAULT 0,
    locked_until  timestamptz,
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL
);
CREATE TABLE api_key (
    key_id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL,
    key_hash      bytea NOT NULL UNIQUE,
    scopes        text[] NOT NULL CHECK (scopes <@ ARRAY['time:read', 'time:write', 'provisioning:write',
                                                         'close:write', 'cases:write', 'admin']),
    entities      text[] NOT NULL,
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    revoked_by    text
);
CREATE UNIQUE INDEX api_key_one_of_a_name ON api_key (name) WHERE revoked_at IS NULL;
CREATE TABLE session (
    token_hash    bytea PRIMARY KEY,
    login         text NOT NULL REFERENCES person_login,
    opened_at     timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    ended_at      timestamptz
);
CREATE INDEX session_login ON session (login) WHERE ended_at IS NULL;

CREATE TABLE audit (
    audit_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL,
    actor         text NOT NULL,
    action        text NOT NULL,
    object        text NOT NULL,
    entity_code   text,
    reason        text NOT NULL,
    data          jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_object ON audit (object, audit_id);
CREATE FUNCTION audit_only_gains() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit only ever gains rows' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER audit_only_gains BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_only_gains();
CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_gains();

CREATE TABLE proposal (
    proposal_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind          text NOT NULL,
    object        text NOT NULL,
    entity_code   text,
    payload       jsonb NOT NULL,
    proposed_by   text NOT NULL CHECK (proposed_by <> ''),
    proposed_at   timestamptz NOT NULL,
    reason        text NOT NULL CHECK (reason <> ''),
    state         text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'approved', 'rejected')),
    approved_by   text,
    decided_by    text,
    decided_at    timestamptz,
    decision_reason text,
    CONSTRAINT proposal_two_pairs_of_eyes CHECK (approved_by IS NULL OR lower(approved_by) <> lower(proposed_by)),
    CONSTRAINT proposal_approved_by_somebody CHECK ((state = 'approved') = (approved_by IS NOT NULL)),
    CONSTRAINT proposal_decided_by_somebody CHECK ((state = 'proposed') = (decided_by IS NULL))
);
CREATE INDEX proposal_waiting ON proposal (kind, proposed_at) WHERE state = 'proposed';
CREATE FUNCTION proposal_keeps_its_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'proposed' THEN
            RAISE EXCEPTION 'a proposal begins as proposed' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state <> 'proposed' THEN
        RAISE EXCEPTION 'proposal % is already %', OLD.proposal_id, OLD.state USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.proposal_id, NEW.kind, NEW.object, NEW.entity_code, NEW.payload, NEW.proposed_by, NEW.proposed_at,
        NEW.reason) IS DISTINCT FROM
       (OLD.proposal_id, OLD.kind, OLD.object, OLD.entity_code, OLD.payload, OLD.proposed_by, OLD.proposed_at,
        OLD.reason) THEN
        RAISE EXCEPTION 'what proposal % asks for never changes', OLD.proposal_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'approved' AND lower(NEW.approved_by) = lower(OLD.proposed_by) THEN
        RAISE EXCEPTION '% proposed it and may not approve it', OLD.proposed_by USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER proposal_keeps_its_words BEFORE INSERT OR UPDATE ON proposal
    FOR EACH ROW EXECUTE FUNCTION proposal_keeps_its_words();

-- ---------------------------------------------------------------- readiness
CREATE TABLE readiness (
    contract_id   uuid NOT NULL REFERENCES contract,
    period_id     uuid NOT NULL REFERENCES fiscal_period,
    entity_code   text NOT NULL REFERENCES legal_entity,
    state         text NOT NULL CHECK (state IN
        ('not_due', 'blocked', 'at_risk', 'ready', 'released', 'invoiced')),
    computed_at   timestamptz NOT NULL,
    deadline_at   timestamptz NOT NULL,
    currency      text NOT NULL,
    seconds       bigint NOT NULL,
    ledger_amount numeric NOT NULL,
    expected_amount numeric NOT NULL,
    rounding_amount numeric NOT NULL,
    waiting_seconds bigint NOT NULL,
    waiting_amount numeric NOT NULL,
    held_seconds  bigint NOT NULL,
    held_amount   numeric NOT NULL,
    carried_seconds bigint NOT NULL,
    carried_amount numeric NOT NULL,
    checks_passed integer NOT NULL,
    blockers      jsonb NOT NULL,
    not_checked   jsonb NOT NULL,
    PRIMARY KEY (contract_id, period_id)
);
CREATE INDEX readiness_period ON readiness (period_id, state);

CREATE TABLE release_lock (
    lock_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_id   uuid NOT NULL REFERENCES contract,
    period_id     uuid NOT NULL REFERENCES fiscal_period,
    entity_code   text NOT NULL REFERENCES legal_entity,
    up_to_on      date NOT NULL,
    released_by   text NOT NULL,
    reason        text NOT NULL,
    released_at   timestamptz NOT NULL,
    unlocked_at   timestamptz,
    unlocked_because text,
    CHECK ((unlocked_at IS NULL) = (unlocked_because IS NULL))
);
CREATE UNIQUE INDEX release_lock_one_open ON release_lock (contract_id) WHERE unlocked_at IS NULL;
CREATE INDEX release_lock_period ON release_lock (contract_id, period_id);

-- While a released contract waits for its invoice, no new line of it goes to the target.
CREATE FUNCTION contract_is_locked(contract_id uuid, work_date date) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (
        SELECT FROM tieline.release_lock k
        WHERE k.contract_id = $1 AND k.unlocked_at IS NULL AND $2 <= k.up_to_on)
$$;

CREATE TABLE carry_over (
    carry_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lock_id       uuid NOT NULL REFERENCES release_lock,
    contract_id   uuid NOT NULL REFERENCES contract,
    period_id     uuid NOT NULL REFERENCES fiscal_period,
    entity_code   text NOT NULL REFERENCES legal_entity,
    seconds       bigint NOT NULL,
    amount        numeric NOT NULL,
    currency      text NOT NULL,
    blockers      jsonb NOT NULL,
    reason        text NOT NULL CHECK (reason <> ''),
    carried_by    text NOT NULL,
    carried_at    timestamptz NOT NULL
);
CREATE INDEX carry_over_contract ON carry_over (contract_id, period_id);

CREATE TABLE invoice_record (
    invoice_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_id   uuid NOT NULL REFERENCES contract,
    period_id     uuid NOT NULL REFERENCES fiscal_period,
    project_id    uuid REFERENCES project,
    entity_code   text NOT NULL REFERENCES legal_entity,
    business_key  uuid NOT NULL REFERENCES effect,
    target_connection text NOT NULL REFERENCES connection,
    target_code   text NOT NULL,
    number        text NOT NULL,
    state         text NOT NULL,
    currency      text NOT NULL,
    untaxed_amount numeric NOT NULL,
    total_amount  numeric NOT NULL,
    expected_amount numeric NOT NULL,
    mismatch_amount numeric GENERATED ALWAYS AS (untaxed_amount - expected_amount) STORED,
    ledger_amount numeric NOT NULL,
    recorded_at   timestamptz NOT NULL,
    correlation_id text NOT NULL,
    UNIQUE (target_connection, target_code)
);
CREATE INDEX invoice_record_contract ON invoice_record (contract_id, period_id);
CREATE TABLE invoice_line_record (
    invoice_id    uuid NOT NULL REFERENCES invoice_record,
    line_code     text NOT NULL,
    description   text NOT NULL,
    quantity      numeric NOT NULL,
    unit          text NOT NULL,
    unit_price    numeric NOT NULL,
    amount        numeric NOT NULL,
    task_codes    text[] NOT NULL,
    expected_amount numeric,
    ledger_amount numeric,
    rounding_amount numeric GENERATED ALWAYS AS (expected_amount - ledger_amount) STORED,
    PRIMARY KEY (invoice_id, line_code)
);
-- Which ledger lines an invoice took; a line is billed once.
CREATE TABLE invoice_ledger_line (
    business_key  uuid PRIMARY KEY,
    invoice_id    uuid NOT NULL REFERENCES invoice_record
);
CREATE INDEX invoice_ledger_line_invoice ON invoice_ledger_line (invoice_id);

-- ---------------------------------------------------------------- revenue status and measures
CREATE TABLE revenue_status (
    project_id    uuid NOT NULL REFERENCES project,
    changed_at    timestamptz NOT NULL,
    as_of         timestamptz NOT NULL,
    entity_code   text NOT NULL REFERENCES legal_entity,
    contract_id   uuid NOT NULL REFERENCES contract,
    currency      text NOT NULL,
    contract_amount numeric,
    earned_amount numeric NOT NULL,
    wip_amount    numeric NOT NULL,
    billed_amount numeric NOT NULL,
    deferred_amount numeric NOT NULL,
    backlog_amount numeric,
    posted_seconds bigint NOT NULL,
    is_newest     boolean NOT NULL,
    PRIMARY KEY (project_id, changed_at)
);
CREATE UNIQUE INDEX revenue_status_newest ON revenue_status (project_id) WHERE is_newest;

CREATE TABLE measure_value (
    measure       text NOT NULL,
    variant       text NOT NULL,
    entity_code   text NOT NULL,
    month_on      date NOT NULL,
    value         numeric,
    unit          text NOT NULL,
    sample_count  bigint NOT NULL,
    as_of         timestamptz NOT NULL,
    PRIMARY KEY (measure, variant, entity_code, month_on)
);

-- ---------------------------------------------------------------- who may do what
-- The worker and the owner of the schema see every legal entity; the judge reads every one; the web role
-- sees what its transaction was opened for. Forced: not even the owner walks past.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['case_file', 'effect', 'ledger_line', 'ledger_line_other', 'contract',
        'project', 'fiscal_period', 'provisioning_plan', 'readiness', 'release_lock', 'carry_over',
        'invoice_record', 'revenue_status', 'audit', 'proposal'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY worker_sees_all ON %I TO tieline_worker, CURRENT_USER'
                       ' USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY judge_reads_all ON %I FOR SELECT TO tieline_judge USING (true)', name);
        -- A row that no legal entity is known for yet is shown to whoever is logged in for any.
        EXECUTE format('CREATE POLICY web_sees_its_entities ON %I TO tieline_web USING ('
            'tieline.visible_entity(entity_code) OR (entity_code IS NULL'
            ' AND coalesce(current_setting(''tieline.entities'', true), '''') <> ''''))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['case_member', 'invoice_line_record', 'invoice_ledger_line'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY worker_sees_all ON %I TO tieline_worker, CURRENT_USER'
                       ' USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY judge_reads_all ON %I FOR SELECT TO tieline_judge USING (true)', name);
    END LOOP;
END $$;
-- A member is seen with its case, a line with its invoice; the subquery obeys their policies.
CREATE POLICY web_sees_its_cases ON case_member TO tieline_web
    USING (EXISTS (SELECT FROM case_file c WHERE c.case_id = case_member.case_id));
CREATE POLICY web_sees_its_invoices ON invoice_line_record TO tieline_web
    USING (EXISTS (SELECT FROM invoice_record i WHERE i.invoice_id = invoice_line_record.invoice_id));
CREATE POLICY web_sees_its_invoices ON invoice_ledger_line TO tieline_web
    USING (EXISTS (SELECT FROM invoice_record i WHERE i.invoice_id = invoice_ledger_line.invoice_id));

GRANT SELECT, INSERT, UPDATE ON case_file, case_member, person_login, session, api_key, proposal, readiness,
    release_lock, carry_over, invoice_record, invoice_line_record, invoice_ledger_line, revenue_status,
    measure_value TO tieline_worker;
GRANT SELECT ON case_file, case_member, readiness, release_lock, carry_over, invoice_record,
    invoice_line_record, invoice_ledger_line, revenue_status, measure_value, effect, ledger_line, contract,
    contract_version, contract_line, project, project_version, fiscal_period, provisioning_plan,
    person_login, session, api_key, proposal TO tieline_web;
-- What a person may change from a page; the rest is the worker's.
GRANT UPDATE (state, assigned_to, closed_at, closed_because, dismissed_by, details) ON case_file TO tieline_web;
GRANT EXECUTE ON FUNCTION replay_case_members TO tieline_worker, tieline_web;
GRANT SELECT ON exclusion TO tieline_web;
GRANT INSERT ON exclusion, proposal, session, api_key, person_login, release_lock,
    carry_over TO tieline_web;
GRANT UPDATE (state, approved_by, decided_by, decided_at, decision_reason) ON proposal TO tieline_web;
GRANT UPDATE (failed_attempts, locked_until, password_hash) ON person_login TO tieline_web;
GRANT UPDATE (ended_at) ON session TO tieline_web;
GRANT UPDATE (revoked_at, revoked_by) ON api_key TO tieline_web;
GRANT UPDATE (state) ON readiness TO tieline_web;
GRANT UPDATE (unlocked_at, unlocked_because) ON release_lock TO tieline_web;
REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM tieline_worker;
GRANT SELECT, INSERT ON audit TO tieline_worker, tieline_web, tieline_audit;
CREATE POLICY audit_writer_writes ON audit TO tieline_audit USING (true) WITH CHECK (true);
