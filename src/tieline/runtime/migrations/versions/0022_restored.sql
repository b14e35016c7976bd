-- What follows when a backup was restored: what was posted after it stands in the targets and is unknown here.
CREATE TABLE restoration (
    restoration_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phase         text NOT NULL DEFAULT 'reading' CHECK (phase IN ('reading', 'asking', 'watching', 'over')),
    because       text NOT NULL,
    begun_by      text NOT NULL,
    begun_at      timestamptz NOT NULL,
    asked_at      timestamptz,
    ended_by      text,
    ended_at      timestamptz
);
CREATE UNIQUE INDEX restoration_one_at_a_time ON restoration ((true)) WHERE phase <> 'over';

-- Streams that were read to their end since.
CREATE TABLE restored_read (
    restoration_id bigint NOT NULL REFERENCES restoration,
    connection_key text NOT NULL,
    stream        text NOT NULL,
    PRIMARY KEY (restoration_id, connection_key, stream)
);
-- Hours about which a target was asked since, under every number that they may have been posted with.
CREATE TABLE restored_ask (
    restoration_id bigint NOT NULL REFERENCES restoration,
    entry_id      uuid NOT NULL REFERENCES time_entry,
    entity_code   text NOT NULL,
    PRIMARY KEY (restoration_id, entry_id, entity_code)
);
-- What a target holds and the restored database did not know, or knows and the target holds no more.
CREATE TABLE restored_write (
    restoration_id bigint NOT NULL REFERENCES restoration,
    target_connection text NOT NULL,
    entity_code   text NOT NULL,
    noun          text NOT NULL,
    target_code   text NOT NULL,
    business_key  uuid NOT NULL,
    connection_key text NOT NULL,
    source_ref    text NOT NULL,
    effect_no     integer NOT NULL,
    entry_id      uuid,
    seconds       bigint,
    outcome       text NOT NULL CHECK (outcome IN ('linked', 'altered', 'held', 'differs', 'several', 'taken_back', 'gone')),
    found_at      timestamptz NOT NULL,
    settled_at    timestamptz,
    PRIMARY KEY (restoration_id, target_connection, noun, target_code)
);
CREATE INDEX restored_write_open ON restored_write (entry_id) WHERE settled_at IS NULL;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['restored_ask', 'restored_write'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY worker_sees_all ON %I TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY judge_reads_all ON %I FOR SELECT TO tieline_judge USING (true)', name);
        EXECUTE format('CREATE POLICY web_sees_its_entities ON %I FOR SELECT TO tieline_web USING (visible_entity(entity_code))', name);
    END LOOP;
END $$;
GRANT SELECT ON restoration, restored_write TO tieline_web;

-- What stands and is unknown here was sent by another life of ours, not by this one.
INSERT INTO effect_transition VALUES ('PLANNED', 'UNKNOWN'), ('ABSENT', 'UNKNOWN');

-- Which database this is: a copy restored from a dump has another cluster, or another table, than it says.
CREATE TABLE database_mark (
    only_one      boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    system_identifier bigint NOT NULL,
    timeline_id   integer NOT NULL,
    table_oid     oid NOT NULL
);
