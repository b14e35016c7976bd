-- By what clients are weighed: fitted to the stock, or learned from what stewards decided. One is current; one that
-- did worse on the decisions than its predecessor is kept and refused.
CREATE TABLE client_weights (
    version       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('fitted', 'learned')),
    state         text NOT NULL CHECK (state IN ('current', 'past', 'refused')),
    records       integer NOT NULL,
    decisions     integer NOT NULL,
    body          jsonb NOT NULL,
    compared      jsonb NOT NULL DEFAULT '{}',
    made_at       timestamptz NOT NULL
);
CREATE UNIQUE INDEX client_weights_current ON client_weights ((true)) WHERE state = 'current';

-- What was last seen of a record ('record:connection:reference') or of a client ('client:id'), and what came of it.
CREATE TABLE client_look (
    subject       text PRIMARY KEY CHECK (subject ~ '^(record|client):'),
    seen          text NOT NULL,
    weights_version integer NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('link', 'ask', 'new', 'known')),
    because       text NOT NULL,
    looked_at     timestamptz NOT NULL
);

-- Of what the last pass over clients knew: a pass that knows nothing else compares nobody.
CREATE TABLE client_pass (
    is_only       boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    digest        text NOT NULL,
    passed_at     timestamptz NOT NULL
);

-- That a record or client may be, or is, another client: how alike, what each field told, and by which weights.
CREATE TABLE client_score (
    score_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject       text NOT NULL CHECK (subject ~ '^(record|client):'),
    client_id     uuid NOT NULL REFERENCES client,
    decision      text NOT NULL CHECK (decision IN ('link', 'ask')),
    reason        text NOT NULL,
    score         integer NOT NULL CHECK (score BETWEEN 0 AND 100),
    odds          numeric NOT NULL,
    fitted_odds   numeric NOT NULL,
    told          jsonb NOT NULL,
    levels        smallint[] NOT NULL,
    weights_version integer NOT NULL,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz
);
CREATE UNIQUE INDEX client_score_standing ON client_score (subject, client_id) WHERE superseded_at IS NULL;
CREATE INDEX client_score_client ON client_score (client_id) WHERE superseded_at IS NULL;

-- What stewards said of a pair, with what they saw; undone, it counts no more.
CREATE TABLE client_decision (
    decision_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    subject       text NOT NULL CHECK (subject ~ '^(record|client):'),
    client_id     uuid NOT NULL REFERENCES client,
    is_same       boolean NOT NULL,
    decided_by    text NOT NULL,
    approved_by   text,
    reason        text NOT NULL,
    decided_at    timestamptz NOT NULL,
    undone_by     text,
    undone_at     timestamptz,
    odds          numeric,
    fitted_odds   numeric,
    levels        smallint[],
    weights_version integer
);
CREATE UNIQUE INDEX client_decision_standing ON client_decision (subject, client_id) WHERE undone_at IS NULL;

-- Who looks at a pair later than at the others.
CREATE TABLE client_later (
    case_id       uuid NOT NULL REFERENCES case_file,
    login         text NOT NULL,
    put_off_at    timestamptz NOT NULL,
    PRIMARY KEY (case_id, login)
);

-- ---------------------------------------------------------------- merged
-- That one client became another; values_before is what the other one was called and lived at until then.
CREATE TABLE client_merge (
    merge_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    losing_id     uuid NOT NULL REFERENCES client,
    winning_id    uuid NOT NULL REFERENCES client,
    merged_by     text NOT NULL,
    approved_by   text,
    reason        text NOT NULL,
    merged_at     timestamptz NOT NULL,
    values_before jsonb NOT NULL,
    undone_by     text,
    undone_reason text,
    undone_at     timestamptz,
    CHECK (losing_id <> winning_id),
    CHECK (approved_by IS NULL OR lower(approved_by) <> lower(merged_by)),
    CHECK ((undone_at IS NULL) = (undone_by IS NULL))
);
CREATE UNIQUE INDEX client_merge_standing ON client_merge (losing_id) WHERE undone_at IS NULL;
CREATE INDEX client_merge_winning ON client_merge (winning_id) WHERE undone_at IS NULL;
INSERT INTO client_merge (losing_id, winning_id, merged_by, reason, merged_at, values_before)
SELECT client_id, redirect_to, 'tieline', 'merged before merges were kept', recorded_at, '{}'
FROM client WHERE redirect_to IS NOT NULL AND redirect_to <> client_id;

-- The client that a record is of when no merge is counted; our_id is where merges lead.
ALTER TABLE crosswalk ADD COLUMN home_id uuid;

-- A redirect leads in one step to a client that is not redirected itself.
CREATE FUNCTION check_client_redirect() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM client c JOIN client t ON t.client_id = c.redirect_to
               WHERE (c.client_id = NEW.client_id OR c.redirect_to = NEW.client_id) AND t.redirect_to IS NOT NULL) THEN
        RAISE EXCEPTION 'client % is redirected in more than one step', NEW.client_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER client_redirect_in_one_step AFTER INSERT OR UPDATE OF redirect_to ON client
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.redirect_to IS NOT NULL)
    EXECUTE FUNCTION check_client_redirect();

-- Whoever a contract belongs to decides under which limits and words its hours stand.
CREATE FUNCTION clients_merged() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT k.contract_id FROM changed c JOIN was w USING (client_id)
            JOIN client l ON l.client_id IN (c.client_id, c.redirect_to, w.redirect_to)
                 OR l.redirect_to IN (c.client_id, c.redirect_to, w.redirect_to)
            JOIN contract k ON k.client_id = l.client_id
            WHERE c.redirect_to IS DISTINCT FROM w.redirect_to)), 'clients.merged',
        coalesce((SELECT max(greatest(m.merged_at, m.undone_at)) FROM client_merge m),
                 (SELECT max(c.recorded_at) FROM changed c)));
    RETURN NULL;
END $$;
CREATE TRIGGER client_merged AFTER UPDATE ON client REFERENCING NEW TABLE AS changed OLD TABLE AS was
    FOR EACH STATEMENT EXECUTE FUNCTION clients_merged();

-- A firm is no part of itself, through however many others.
CREATE FUNCTION check_client_parent() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    IF EXISTS (
        WITH RECURSIVE above AS (
            SELECT NEW.parent_client_id AS client_id
            UNION
            SELECT v.parent_client_id FROM above a
            JOIN client_version v ON v.client_id = a.client_id AND v.superseded_at IS NULL
            WHERE v.parent_client_id IS NOT NULL
        ) SELECT FROM above WHERE client_id = NEW.client_id
    ) THEN
        RAISE EXCEPTION 'client % would be a part of itself', NEW.client_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER client_is_no_part_of_itself AFTER INSERT ON client_version
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.parent_client_id IS NOT NULL AND NEW.superseded_at IS NULL) EXECUTE FUNCTION check_client_parent();
