-- What people asked about past days. An answer speaks of the whole firm: the web role reads none of it, and whoever
-- asks through the worker must see every legal entity.
CREATE TABLE what_if (
    what_if_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    title         text NOT NULL CHECK (title <> ''),
    question      jsonb NOT NULL,
    state         text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'running', 'done', 'failed', 'stopped')),
    hours_done    bigint NOT NULL DEFAULT 0,
    hours_total   bigint,
    problem       text,
    answer        jsonb,
    asked_by      text NOT NULL,
    asked_at      timestamptz NOT NULL,
    ended_at      timestamptz,
    CHECK ((state = 'done') = (answer IS NOT NULL)),
    CHECK ((state = 'failed') = (problem IS NOT NULL)),
    CHECK ((state IN ('waiting', 'running')) = (ended_at IS NULL))
);
CREATE INDEX what_if_asked ON what_if (asked_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON what_if TO tieline_worker;
