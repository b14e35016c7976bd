-- Checks that always run: what each of them found last, and what is not sent any more because of it.

-- ---------------------------------------------------------------- what each check said
-- One row per check and what it looks at ('' for our own books); not_checked where it could not be made.
CREATE TABLE check_result (
    check_name    text NOT NULL,
    subject       text NOT NULL,
    state         text NOT NULL CHECK (state IN ('green', 'red', 'not_checked')),
    tried_at      timestamptz NOT NULL,
    made_at       timestamptz,
    things        bigint NOT NULL,
    took_milliseconds integer NOT NULL,
    why           text NOT NULL,
    PRIMARY KEY (check_name, subject)
);

-- ---------------------------------------------------------------- stops
-- A scope for which nothing is sent any more. What is NULL stands for every one; a source counts for hours only.
CREATE TABLE posting_stop (
    stop_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    check_name    text NOT NULL,
    subject       text NOT NULL,
    scope_key     text NOT NULL,
    source_connection text REFERENCES connection,
    target_connection text REFERENCES connection,
    entity_code   text REFERENCES legal_entity,
    period_id     uuid REFERENCES fiscal_period,
    project_id    uuid REFERENCES project,
    because       text NOT NULL,
    fingerprint   text NOT NULL,
    since         timestamptz NOT NULL,
    last_red_at   timestamptz NOT NULL,
    green_checks  integer NOT NULL DEFAULT 0,
    lifted_at     timestamptz,
    lifted_by     text,
    lift_proposed_by text,
    lifted_because text,
    CHECK (num_nonnulls(source_connection, target_connection) > 0),
    CHECK (num_nonnulls(lifted_at, lifted_by, lifted_because) IN (0, 3)),
    -- A person lifts with a second one; a check that is green again lifts alone.
    CHECK (lifted_by IS NULL OR lifted_by = 'check:' || check_name OR lift_proposed_by <> lifted_by)
);
CREATE UNIQUE INDEX posting_stop_standing ON posting_stop (check_name, subject, scope_key) WHERE lifted_at IS NULL;
CREATE INDEX posting_stop_scope ON posting_stop (check_name, subject, scope_key, since);
ALTER TABLE posting_stop ENABLE ROW LEVEL SECURITY;
ALTER TABLE posting_stop FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON posting_stop TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON posting_stop FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON posting_stop FOR SELECT TO tieline_web USING (page_sees(entity_code));
REVOKE DELETE, TRUNCATE ON posting_stop FROM tieline_worker;
GRANT SELECT ON posting_stop, check_result TO tieline_web, tieline_judge;

-- What may still be written while hours stand still. A noun that is not named here moves money.
CREATE TABLE noun_without_money (noun text PRIMARY KEY);
INSERT INTO noun_without_money VALUES
    ('assignment'), ('client'), ('contract'), ('employee'), ('project'), ('status'), ('task');
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON noun_without_money FROM tieline_worker;

-- The stops that stand in the way of a write. An invoice bills everything up to a day: it is of every period, and
-- of every source.
CREATE FUNCTION stops_over(source text, target text, entity text, period uuid, project uuid, noun text)
RETURNS SETOF posting_stop LANGUAGE sql STABLE AS $$
    SELECT s.* FROM tieline.posting_stop s
    WHERE s.lifted_at IS NULL
      AND (s.source_connection IS NULL OR stops_over.noun <> 'time_line' OR s.source_connection = stops_over.source)
      AND (s.target_connection IS NULL OR s.target_connection = stops_over.target)
      AND (s.entity_code IS NULL OR s.entity_code = stops_over.entity)
      AND (s.period_id IS NULL OR stops_over.period IS NULL OR s.period_id = stops_over.period)
      AND (s.project_id IS NULL OR s.project_id = stops_over.project)
      AND NOT EXISTS (SELECT FROM tieline.noun_without_money n WHERE n.noun = stops_over.noun)
$$;
CREATE FUNCTION effect_heeds_stops() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stopped uuid;
BEGIN
    SELECT s.stop_id INTO stopped FROM tieline.stops_over(NEW.connection_key, NEW.target_connection,
        NEW.entity_code, NEW.period_id, NEW.project_id, NEW.noun) s LIMIT 1;
    IF stopped IS NOT NULL THEN
        RAISE EXCEPTION 'effect % may not be sent: stop % stands in the way', NEW.business_key, stopped
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER effect_heeds_stops BEFORE UPDATE ON effect FOR EACH ROW
    WHEN (NEW.state = 'INTENT' AND OLD.state <> 'INTENT') EXECUTE FUNCTION effect_heeds_stops();

-- ---------------------------------------------------------------- what a target showed when a line was believed
-- The digest of the line as it was read back; whoever changes the line there is found by it.
ALTER TABLE effect ADD COLUMN stored_hash text;

-- ---------------------------------------------------------------- what pages and figures read
CREATE FUNCTION page_stops()
RETURNS TABLE (stop_id uuid, check_name text, subject text, source_connection text, target_connection text,
    entity_code text, period_id uuid, period_code text, project_id uuid, project_code text, because text,
    fingerprint text, since timestamptz, last_red_at timestamptz, green_checks integer, waiting bigint,
    seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT s.stop_id, s.check_name, s.subject, s.source_connection, s.target_connection, s.entity_code, s.period_id,
           f.period_code, s.project_id, j.project_code, s.because, s.fingerprint, s.since, s.last_red_at,
           s.green_checks, w.lines, w.seconds
    FROM posting_stop s
    LEFT JOIN fiscal_period f USING (period_id)
    LEFT JOIN project j ON j.project_id = s.project_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS lines, coalesce(sum(abs(e.seconds)), 0)::bigint AS seconds FROM effect e
        WHERE e.noun = 'time_line' AND e.state IN ('PLANNED', 'ABSENT')
          AND (s.source_connection IS NULL OR e.connection_key = s.source_connection)
          AND (s.target_connection IS NULL OR e.target_connection = s.target_connection)
          AND (s.entity_code IS NULL OR e.entity_code = s.entity_code)
          AND (s.period_id IS NULL OR e.period_id = s.period_id)
          AND (s.project_id IS NULL OR e.project_id = s.project_id)
    ) w
    WHERE s.lifted_at IS NULL AND in_sight(s.entity_code)
    ORDER BY s.since, s.scope_key
$$;
-- What each check says, by what it looks at: our own books (``own`` names those checks), each source of time, each
-- target. What was never tried is shown as well.
CREATE FUNCTION page_check_results(own text[])
RETURNS TABLE (check_name text, subject text, state text, tried_at timestamptz, made_at timestamptz, things bigint,
    took_milliseconds integer, why text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT w.check_name, w.subject, coalesce(c.state, 'not_checked'), c.tried_at, c.made_at, coalesce(c.things, 0),
           coalesce(c.took_milliseconds, 0), coalesce(c.why, 'it was not made yet')
    FROM (
        SELECT unnest(own) AS check_name, '' AS subject
        UNION SELECT 'reconciliation.source_differs', connection_key FROM connection WHERE kind = 'time'
        UNION SELECT of_target.name, erp_connection_key FROM legal_entity
              CROSS JOIN (VALUES ('reconciliation.target_differs'), ('reconciliation.lines_differ'),
                                 ('reconciliation.hours_freed')) of_target (name)
              WHERE in_sight(entity_code)
        UNION SELECT r.check_name, r.subject FROM check_result r
    ) w
    LEFT JOIN check_result c USING (check_name, subject)
    WHERE in_sight(NULL)
    ORDER BY array_position(ARRAY['red', 'not_checked', 'green'], coalesce(c.state, 'not_checked')), 1, 2
$$;
REVOKE ALL ON FUNCTION page_stops(), page_check_results(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_stops(), page_check_results(text[]) TO tieline_web, tieline_worker, tieline_judge;
