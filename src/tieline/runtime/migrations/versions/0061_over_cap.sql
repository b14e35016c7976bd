-- What a contract says of time above its cap: it goes to the ERP unbilled, under this task. Where it says nothing the
-- hour is held.
CREATE TABLE over_cap (
    over_cap_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_id   uuid NOT NULL REFERENCES contract,
    task_name     text NOT NULL CHECK (task_name <> ''),
    step_seconds  integer NOT NULL CHECK (step_seconds BETWEEN 1 AND 86400),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(contract_id::text, contract_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);

-- How much of the hour is above the cap, and the line of the contract that it goes under. The verdict's amount is that
-- of the rest; its seconds are those of both.
ALTER TABLE verdict ADD COLUMN capped_seconds integer CHECK (capped_seconds > 0 AND capped_seconds <= seconds),
    ADD COLUMN capped_line_id uuid, ADD CHECK ((capped_seconds IS NULL) = (capped_line_id IS NULL));

-- The lines that are asked for where an hour is split: what an unsplit line is known by, and behind it the split.
CREATE FUNCTION split_hash(posting_hash bytea, capped_seconds integer, capped_line_id uuid) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT posting_hash || int4send(capped_seconds) || uuid_send(capped_line_id)
$$;
-- What the split behind a hash says; NULL where there is none.
CREATE FUNCTION split_seconds(posting_hash bytea) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(posting_hash) = 52
                THEN ('x' || encode(substr(posting_hash, 33, 4), 'hex'))::bit(32)::integer END
$$;
CREATE FUNCTION split_line(posting_hash bytea) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(posting_hash) = 52 THEN encode(substr(posting_hash, 37, 16), 'hex')::uuid END
$$;
GRANT EXECUTE ON FUNCTION split_hash(bytea, integer, uuid), split_seconds(bytea), split_line(bytea)
    TO tieline_worker, tieline_judge, tieline_web;

-- A split hour is posted once both of its lines are.
DO $$
DECLARE
    body text := pg_get_viewdef('entry_place'::regclass);
    changed text;
BEGIN
    changed := regexp_replace(body, '\(s\.state = ''CONFIRMED''::text\) AND \(NOT \(s\.posting_hash IS DISTINCT FROM v\.posting_hash\)\)',
        '(s.state = ''CONFIRMED''::text) AND (NOT (s.posting_hash IS DISTINCT FROM v.posting_hash))'
        ' AND (v.capped_seconds IS NULL OR v.seconds = (SELECT sum(b.seconds) FROM standing_effect b'
        ' WHERE b.entry_id = t.entry_id AND b.state = ''CONFIRMED''))', 'g');
    IF changed = body THEN
        RAISE EXCEPTION 'entry_place says otherwise when an hour is posted';
    END IF;
    EXECUTE 'CREATE OR REPLACE VIEW entry_place AS ' || changed;
END $$;
