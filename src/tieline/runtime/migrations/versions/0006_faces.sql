-- Answers that the API repeats, hints that it takes in, and what the faces may see and ask for.

-- One row per changing call: the key and the words of the call stand in the transaction that does it, so a
-- second call waits for the first and then repeats its answer.
CREATE TABLE api_answer (
    key_id        uuid NOT NULL REFERENCES api_key,
    idempotency_key text NOT NULL,
    request_hash  bytea NOT NULL,
    status        integer,
    answer        jsonb,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (key_id, idempotency_key)
);
CREATE INDEX api_answer_recorded ON api_answer (recorded_at);
REVOKE ALL ON api_answer FROM tieline_judge;
GRANT SELECT, INSERT ON api_answer TO tieline_web;
GRANT UPDATE (status, answer) ON api_answer TO tieline_web;

-- A hint says which record may have changed; a later one moves the mark, so that it is read once more.
GRANT SELECT, INSERT ON dirty_mark TO tieline_web;
GRANT UPDATE (marked_at, correlation_id) ON dirty_mark TO tieline_web;

-- A person pauses a connection, and has a plan that was taken back tried again.
GRANT UPDATE (paused) ON connection TO tieline_web;
GRANT UPDATE (state) ON provisioning_plan TO tieline_web;
GRANT SELECT ON release, rule, policy_value, severity_override TO tieline_web;

-- Cursors are the worker's; a page sees how fresh a connection is through this function. A connection belongs
-- to no legal entity, so whoever is in for any sees it.
CREATE FUNCTION page_connections()
RETURNS TABLE (connection_key text, system text, kind text, mode text, paused boolean, read_at timestamptz,
    last_error text, breaker text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT c.connection_key, c.system, c.kind, c.mode, c.paused, max(s.read_at),
           string_agg(DISTINCT s.last_error, '; '), max(b.breaker)
    FROM connection c
    LEFT JOIN stream_cursor s USING (connection_key)
    LEFT JOIN connection_budget b USING (connection_key)
    WHERE coalesce(current_setting('tieline.entities', true), '') <> ''
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1
$$;
REVOKE ALL ON FUNCTION page_connections() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_connections() TO tieline_web, tieline_worker, tieline_judge;
