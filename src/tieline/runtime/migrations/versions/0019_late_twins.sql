-- A line that was sent twice, because a target that compares no keys had shown nothing of the first try within
-- its declared time: it is asked once more, for the first may have been stored later than declared.
ALTER TABLE effect ADD COLUMN asked_again_at timestamptz;
CREATE INDEX effect_sent_twice ON effect (target_connection, settled_at)
    WHERE noun = 'time_line' AND kind = 'book' AND state = 'CONFIRMED' AND attempt > 1 AND asked_again_at IS NULL;
CREATE TABLE late_twin (
    business_key  uuid PRIMARY KEY REFERENCES effect,
    target_connection text NOT NULL,
    entity_code   text NOT NULL,
    target_codes  text[] NOT NULL,
    seconds       bigint NOT NULL,
    found_at      timestamptz NOT NULL,
    gone_at       timestamptz
);
CREATE INDEX late_twin_standing ON late_twin (target_connection) WHERE gone_at IS NULL;
