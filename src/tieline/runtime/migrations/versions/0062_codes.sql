-- What we call a code of another system, where it comes in. One of theirs is one of ours at any time.
CREATE TABLE inbound_code (
    inbound_code_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    connection_key text NOT NULL REFERENCES connection,
    kind           text NOT NULL CHECK (kind IN
        ('stage', 'practice', 'billing_method', 'tax_treatment', 'currency', 'labor_category')),
    entity_code    text NOT NULL,
    their_code     text NOT NULL CHECK (their_code <> ''),
    our_code       text NOT NULL CHECK (our_code <> ''),
    starts_on      date NOT NULL,
    ends_on        date,
    recorded_at    timestamptz NOT NULL,
    superseded_at  timestamptz,
    load_id        uuid NOT NULL REFERENCES reference_load,
    line_number    integer NOT NULL,
    CHECK (kind <> 'stage' OR our_code IN ('open', 'won', 'lost')),
    CHECK (kind <> 'currency' OR our_code ~ '^[A-Z]{3}$'),
    EXCLUDE USING gist (
        textrange(connection_key || '|' || kind || '|' || entity_code || '|' || their_code,
                  connection_key || '|' || kind || '|' || entity_code || '|' || their_code, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX inbound_code_standing ON inbound_code (connection_key, kind, entity_code, their_code)
    WHERE superseded_at IS NULL;

-- What another system calls a code of ours, where it goes out. One of ours is one of theirs at any time.
CREATE TABLE outbound_code (
    outbound_code_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    connection_key text NOT NULL REFERENCES connection,
    kind           text NOT NULL CHECK (kind = 'labor_category'),
    entity_code    text NOT NULL,
    our_code       text NOT NULL CHECK (our_code <> ''),
    their_code     text NOT NULL CHECK (their_code <> ''),
    starts_on      date NOT NULL,
    ends_on        date,
    recorded_at    timestamptz NOT NULL,
    superseded_at  timestamptz,
    load_id        uuid NOT NULL REFERENCES reference_load,
    line_number    integer NOT NULL,
    EXCLUDE USING gist (
        textrange(connection_key || '|' || kind || '|' || entity_code || '|' || our_code,
                  connection_key || '|' || kind || '|' || entity_code || '|' || our_code, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX outbound_code_standing ON outbound_code (connection_key, kind, entity_code, our_code)
    WHERE superseded_at IS NULL;
GRANT SELECT ON inbound_code, outbound_code TO tieline_web;

-- A plan says what its ERP calls each labor category that was sold; those that are under way are told it here.
UPDATE provisioning_plan p SET plan = p.plan || jsonb_build_object('erp_categories', (
    SELECT coalesce(jsonb_object_agg(
        concat_ws('|', l ->> 'task_name', l ->> 'labor_category', l ->> 'starts_on'),
        coalesce(c.config -> 'labor_categories' ->> (l ->> 'labor_category'), l ->> 'labor_category')), '{}')
    FROM jsonb_array_elements(p.plan -> 'lines') l))
FROM legal_entity e JOIN connection c ON c.connection_key = e.erp_connection_key
WHERE e.entity_code = p.entity_code;
