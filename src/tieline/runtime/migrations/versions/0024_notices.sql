-- Where people and queues are reached. Addresses stand here only.
CREATE TABLE reach (
    recipient     text NOT NULL CHECK (recipient ~ '^(person|queue):.'),
    connection_key text NOT NULL REFERENCES connection,
    address       text NOT NULL,
    urgent_only   boolean NOT NULL,
    PRIMARY KEY (recipient, connection_key)
);
-- Who stands in for whom, and who is on call for a queue; one at a time, half-open by date.
CREATE TABLE deputy (
    login         text NOT NULL REFERENCES person_login,
    deputy_login  text NOT NULL REFERENCES person_login CHECK (deputy_login <> login),
    starts_on     date NOT NULL,
    ends_on       date NOT NULL CHECK (ends_on > starts_on),
    EXCLUDE USING gist (textrange(login, login, '[]') WITH &&, daterange(starts_on, ends_on) WITH &&)
);
CREATE TABLE on_call (
    queue         text NOT NULL,
    login         text NOT NULL REFERENCES person_login,
    starts_on     date NOT NULL,
    ends_on       date NOT NULL CHECK (ends_on > starts_on),
    EXCLUDE USING gist (textrange(queue, queue, '[]') WITH &&, daterange(starts_on, ends_on) WITH &&)
);

-- Which occasions were told of: written with the notices themselves, so that each is told of once.
CREATE TABLE notice_round (
    occasion      text PRIMARY KEY,
    told_at       timestamptz NOT NULL
);
-- One message to one recipient over one channel; without a channel nobody can be told, and a case says so.
-- state 'sending': an attempt began whose end nobody noted.
CREATE TABLE notice (
    notice_key    uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('escalation', 'unconfirmed', 'digest')),
    occasion      text NOT NULL,
    owner         text NOT NULL,
    recipient     text NOT NULL,
    connection_key text REFERENCES connection,
    is_urgent     boolean NOT NULL,
    entity_code   text,
    period_id     uuid REFERENCES fiscal_period,
    case_ids      uuid[] NOT NULL,
    covers_waiting boolean NOT NULL,
    subject       text NOT NULL,
    body          text NOT NULL,
    due_at        timestamptz,
    useful_until  timestamptz NOT NULL,
    written_at    timestamptz NOT NULL,
    state         text NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'superseded')),
    attempts      integer NOT NULL DEFAULT 0,
    tried_at      timestamptz,
    -- When the latest sending began: what a channel may still be at is not asked for before it has settled.
    begun_at      timestamptz,
    last_error    text,
    sent_at       timestamptz,
    receiver_code text,
    link_hash     bytea UNIQUE,
    acknowledged_at timestamptz,
    CHECK (connection_key IS NOT NULL OR state IN ('failed', 'superseded')),
    UNIQUE NULLS NOT DISTINCT (occasion, owner, connection_key)
);
CREATE INDEX notice_open ON notice (state) WHERE state IN ('waiting', 'sending', 'failed');
CREATE INDEX notice_written ON notice (written_at DESC);
CREATE INDEX notice_acknowledged ON notice (period_id, owner) WHERE acknowledged_at IS NOT NULL;
REVOKE ALL ON reach, deputy, on_call, notice_round, notice FROM tieline_judge;

-- How often a target was asked for one write whose answer was lost.
ALTER TABLE effect ADD COLUMN asked_times integer NOT NULL DEFAULT 0;
CREATE FUNCTION effect_is_asked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.asked_times := OLD.asked_times + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER effect_is_asked BEFORE UPDATE OF state ON effect
    FOR EACH ROW WHEN (OLD.state = 'UNKNOWN' AND NEW.state = 'PROBING') EXECUTE FUNCTION effect_is_asked();
