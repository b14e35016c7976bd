-- Lines that are given to people as a file, while their target is down: the file, what is in it, and what became
-- of each line. An effect goes to HANDED_OVER with its line in a file and leaves it as that line was settled; there
-- is no way from it to being sent.
ALTER TABLE effect DROP CONSTRAINT effect_state_check;
ALTER TABLE effect ADD CONSTRAINT effect_state_check CHECK (state IN
    ('PLANNED', 'INTENT', 'CONFIRMED', 'REJECTED', 'UNKNOWN', 'PROBING', 'ABSENT', 'CONFLICT', 'WITHDRAWN',
     'HANDED_OVER')) NOT VALID;
ALTER TABLE effect VALIDATE CONSTRAINT effect_state_check;
INSERT INTO effect_transition VALUES
    ('PLANNED', 'HANDED_OVER'), ('ABSENT', 'HANDED_OVER'),
    ('HANDED_OVER', 'CONFIRMED'), ('HANDED_OVER', 'PLANNED'), ('HANDED_OVER', 'CONFLICT');
CREATE INDEX effect_handed_over ON effect (entry_id) WHERE state = 'HANDED_OVER';
-- The key under which we made a record of a target, such as a task.
CREATE INDEX effect_made ON effect (target_connection, noun, target_code) WHERE noun <> 'time_line';

CREATE TABLE import_file (
    file_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    file_name     text NOT NULL UNIQUE,
    target_connection text NOT NULL REFERENCES connection,
    entity_code   text NOT NULL,
    proposal_id   uuid NOT NULL UNIQUE REFERENCES proposal,
    reason        text NOT NULL,
    made_by       text NOT NULL,
    approved_by   text NOT NULL,
    made_at       timestamptz NOT NULL,
    valid_until   timestamptz NOT NULL,
    checksum      text NOT NULL,
    -- Kept while somebody may need it: it holds what people wrote about their hours.
    content       bytea,
    cover         jsonb NOT NULL,
    lines         integer NOT NULL CHECK (lines > 0),
    seconds       bigint NOT NULL,
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'settled', 'withdrawn')),
    asked_at      timestamptz,
    closed_at     timestamptz,
    CHECK (made_by <> approved_by),
    CHECK (valid_until > made_at),
    CHECK ((state = 'open') = (closed_at IS NULL))
);
CREATE INDEX import_file_open ON import_file (target_connection, entity_code) WHERE state = 'open';

CREATE TABLE import_file_line (
    file_id       uuid NOT NULL REFERENCES import_file,
    business_key  uuid NOT NULL REFERENCES effect,
    line_number   integer NOT NULL,
    person_code   text NOT NULL,
    task_code     text NOT NULL,
    work_date     date NOT NULL,
    seconds       integer NOT NULL,
    given_at      timestamptz NOT NULL,
    valid_until   timestamptz NOT NULL,
    outcome       text NOT NULL DEFAULT 'given' CHECK (outcome IN ('given', 'matched', 'released', 'differs')),
    -- When the target was asked last and showed nothing of it.
    absent_at     timestamptz,
    released_by   text,
    found_by      text CHECK (found_by IN ('key', 'content')),
    settled_at    timestamptz,
    PRIMARY KEY (file_id, business_key),
    UNIQUE (file_id, line_number),
    CHECK ((outcome = 'given') = (settled_at IS NULL)),
    CHECK (outcome NOT IN ('matched', 'differs') OR found_by IS NOT NULL),
    -- Nothing is given free that was not asked for: after its file's time, or because a person says so.
    CHECK (outcome <> 'released' OR (absent_at IS NOT NULL AND absent_at >= given_at
                                     AND (released_by IS NOT NULL OR absent_at > valid_until)))
);
CREATE UNIQUE INDEX import_file_line_given ON import_file_line (business_key) WHERE outcome = 'given';
CREATE INDEX import_file_line_key ON import_file_line (business_key, given_at);

CREATE FUNCTION import_file_line_is_settled_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.outcome <> 'given' AND NEW.outcome <> OLD.outcome THEN
        RAISE EXCEPTION 'line % of file % is % already', OLD.line_number, OLD.file_id, OLD.outcome
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER import_file_line_is_settled_once BEFORE UPDATE ON import_file_line
    FOR EACH ROW EXECUTE FUNCTION import_file_line_is_settled_once();

CREATE FUNCTION effect_keeps_its_file() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    outcome text;
BEGIN
    SELECT l.outcome INTO outcome FROM tieline.import_file_line l
    WHERE l.business_key = OLD.business_key ORDER BY l.outcome = 'given' DESC, l.settled_at DESC LIMIT 1;
    IF NEW.state = 'HANDED_OVER' AND outcome IS DISTINCT FROM 'given' THEN
        RAISE EXCEPTION 'effect % is in no file', OLD.business_key USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state = 'HANDED_OVER' AND outcome IS DISTINCT FROM
        (CASE NEW.state WHEN 'CONFIRMED' THEN 'matched' WHEN 'PLANNED' THEN 'released' ELSE 'differs' END) THEN
        RAISE EXCEPTION 'effect % was given to people as a file and may not become %', OLD.business_key, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER effect_keeps_its_file BEFORE UPDATE OF state ON effect FOR EACH ROW
    WHEN (NEW.state <> OLD.state AND (NEW.state = 'HANDED_OVER' OR OLD.state = 'HANDED_OVER'))
    EXECUTE FUNCTION effect_keeps_its_file();

-- What a check has stopped goes out in no file either.
DROP TRIGGER effect_heeds_stops ON effect;
CREATE TRIGGER effect_heeds_stops BEFORE UPDATE ON effect FOR EACH ROW
    WHEN (NEW.state IN ('INTENT', 'HANDED_OVER') AND OLD.state <> NEW.state) EXECUTE FUNCTION effect_heeds_stops();

ALTER TABLE import_file ENABLE ROW LEVEL SECURITY;
ALTER TABLE import_file FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON import_file TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON import_file FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON import_file FOR SELECT TO tieline_web USING (visible_entity(entity_code));
ALTER TABLE import_file_line ENABLE ROW LEVEL SECURITY;
ALTER TABLE import_file_line FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON import_file_line TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON import_file_line FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON import_file_line FOR SELECT TO tieline_web
    USING (EXISTS (SELECT FROM import_file f WHERE f.file_id = import_file_line.file_id));
REVOKE DELETE ON import_file, import_file_line FROM tieline_worker;
GRANT SELECT ON import_file, import_file_line TO tieline_web;

-- A line that was loaded from a file as well as sent, or twice, is asked for where the import put it.
ALTER TABLE late_twin ADD COLUMN is_from_file boolean NOT NULL DEFAULT false;
ALTER TABLE ledger_line ADD COLUMN via_file_id uuid;

-- ---------------------------------------------------------------- where every hour is
ALTER TABLE handed_over RENAME TO handed_over_before;
CREATE VIEW handed_over AS
SELECT e.entry_id, f.file_name, f.made_at AS recorded_at, NULL::timestamptz AS released_at, f.valid_until
FROM effect e
JOIN import_file_line l ON l.business_key = e.business_key AND l.outcome = 'given'
JOIN import_file f USING (file_id)
WHERE e.state = 'HANDED_OVER';
GRANT SELECT ON handed_over TO tieline_worker, tieline_judge;

-- What is in a file stands, as far as anybody knows.
CREATE OR REPLACE VIEW standing_effect AS
SELECT e.entry_id, e.business_key, e.state, e.posting_hash, e.seconds, e.entity_code, e.project_id
FROM effect e
WHERE e.noun = 'time_line' AND e.kind = 'book'
  AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT', 'HANDED_OVER')
  AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                  AND u.state = 'CONFIRMED');

CREATE OR REPLACE VIEW entry_place AS
SELECT p.entry_id, p.connection_key, p.entity_code, p.project_id, p.contract_id, p.period_id, p.seconds,
       p.work_date, p.verdict_id,
       CASE WHEN p.place = 'pending' AND EXISTS (
                SELECT FROM case_member m JOIN case_file c USING (case_id)
                WHERE m.entry_id = p.entry_id AND m.left_at IS NULL AND c.state = 'open'
                  AND c.reason = 'time.waiting_too_long')
            THEN 'held' ELSE p.place END AS place,
       p.because,
       CASE p.place WHEN 'pending' THEN 'integration' WHEN 'handed_over' THEN 'finance' END AS owner_queue,
       CASE p.place WHEN 'pending'
            THEN coalesce(p.parked_until, p.waits_since + make_interval(secs => pending_seconds()))
            WHEN 'handed_over' THEN p.valid_until END AS due_at
FROM (
    SELECT t.entry_id, t.connection_key, v.entity_code, v.project_id, v.contract_id, v.period_id, w.seconds,
           w.work_date, v.verdict_id,
           CASE
               WHEN w.is_deleted OR w.approval = 'not_approved'
                   THEN CASE WHEN s.entry_id IS NOT NULL THEN 'leaving' ELSE 'outside' END
               WHEN h.entry_id IS NOT NULL THEN 'handed_over'
               WHEN v.verdict_id IS NULL THEN 'pending'
               WHEN v.outcome IN ('outside', 'excluded', 'held') THEN v.outcome
               WHEN v.outcome = 'parked' THEN 'pending'
               WHEN o.is_refused THEN 'held'
               WHEN s.state = 'CONFIRMED' AND s.posting_hash IS NOT DISTINCT FROM v.posting_hash THEN 'posted'
               ELSE 'pending'
           END AS place,
           CASE
               WHEN w.is_deleted THEN 'deleted'
               WHEN w.approval = 'not_approved' THEN 'not_approved'
               WHEN h.entry_id IS NOT NULL THEN h.file_name
               WHEN v.verdict_id IS NULL THEN 'not_judged'
               WHEN v.outcome = 'outside' THEN 'before_go_live'
               WHEN v.outcome = 'excluded' THEN (SELECT x.reason FROM exclusion x WHERE x.entry_id = t.entry_id)
               WHEN v.outcome IN ('held', 'parked') THEN v.outcome
               WHEN o.is_refused THEN 'refused'
               WHEN s.state = 'CONFIRMED' AND s.posting_hash IS NOT DISTINCT FROM v.posting_hash THEN 'posted'
               WHEN s.state = 'CONFIRMED' THEN 'being_corrected'
               WHEN s.entry_id IS NOT NULL THEN 'unconfirmed'
               ELSE 'not_sent'
           END AS because,
           CASE WHEN v.outcome = 'parked' THEN v.parked_until END AS parked_until, h.valid_until,
           coalesce(o.planned_at, v.judged_at, w.recorded_at) AS waits_since
    FROM time_entry t
    JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
    LEFT JOIN verdict v ON v.verdict_id = t.verdict_id AND v.version = t.newest_version
    LEFT JOIN handed_over h ON h.entry_id = t.entry_id
    LEFT JOIN LATERAL (
        SELECT s.entry_id, s.state, s.posting_hash FROM standing_effect s WHERE s.entry_id = t.entry_id
        ORDER BY s.state = 'CONFIRMED' DESC LIMIT 1
    ) s ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(e.state IN ('REJECTED', 'CONFLICT')), false) AS is_refused,
               min(e.planned_at) FILTER (WHERE e.state NOT IN ('CONFIRMED', 'REJECTED', 'CONFLICT', 'WITHDRAWN'))
                   AS planned_at
        FROM effect e WHERE e.entry_id = t.entry_id
    ) o
) p;
DROP TABLE handed_over_before;

-- What people have as a file still moves in its period: it may be left behind with a reason.
CREATE OR REPLACE FUNCTION period_moving(asked uuid)
RETURNS TABLE (what text, items bigint, seconds bigint, amount numeric, currency text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    found fiscal_period;
BEGIN
    SELECT * INTO found FROM fiscal_period p WHERE p.period_id = asked;
    IF found.period_id IS NULL OR (session_user = 'tieline_web' AND NOT visible_entity(found.entity_code)) THEN
        RAISE EXCEPTION 'there is no period %', asked USING ERRCODE = 'no_data_found';
    END IF;
    RETURN QUERY
    SELECT x.what, count(*), sum(x.seconds)::bigint, sum(x.amount), x.currency
    FROM (
        SELECT 'unconfirmed' AS what, abs(e.seconds) AS seconds, abs(e.amount) AS amount, e.currency FROM effect e
        WHERE e.period_id = asked AND e.noun = 'time_line' AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING')
        UNION ALL
        SELECT p.place, p.seconds, v.amount, v.currency FROM entry_place p LEFT JOIN verdict v USING (verdict_id)
        WHERE p.period_id = asked AND p.place IN ('pending', 'held', 'leaving', 'handed_over')
          AND NOT EXISTS (SELECT FROM effect e WHERE e.entry_id = p.entry_id AND e.noun = 'time_line'
                          AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING'))
        UNION ALL
        SELECT 'released', r.seconds, r.expected_amount, r.currency FROM release_lock k
        JOIN readiness r USING (contract_id, period_id) WHERE k.period_id = asked AND k.unlocked_at IS NULL
    ) x GROUP BY x.what, x.currency ORDER BY x.what, x.currency;
END $$;

-- Lines that are tried and not taken while the cut-off of their period comes near: they may go out as a file.
CREATE FUNCTION page_lines_not_taken(at timestamptz, within interval, untaken_since interval)
RETURNS TABLE (target_connection text, system text, entity_code text, period_code text, cut_off_at timestamptz,
    currency text, lines bigint, seconds bigint, amount numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT e.target_connection, c.system, e.entity_code, p.period_code, p.cut_off_at, e.currency, count(*),
           sum(e.seconds)::bigint, sum(e.amount)
    FROM fiscal_period p
    JOIN effect e ON e.period_id = p.period_id AND e.entity_code = p.entity_code
    JOIN connection c ON c.connection_key = e.target_connection
    LEFT JOIN connection_budget b ON b.connection_key = e.target_connection
    WHERE p.state = 'open' AND p.cut_off_at > at AND p.cut_off_at <= at + within
      AND e.noun = 'time_line' AND e.kind = 'book' AND e.state IN ('PLANNED', 'ABSENT')
      AND (b.breaker <> 'closed' OR EXISTS (
          SELECT FROM effect o
          WHERE o.target_connection = e.target_connection AND o.entity_code = e.entity_code
            AND o.period_id = e.period_id AND o.noun = 'time_line' AND o.state = 'PLANNED'
            AND o.reason = 'write.not_executed' AND o.planned_at <= at - untaken_since))
      AND in_sight(e.entity_code)
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY p.cut_off_at, e.entity_code, e.target_connection, e.currency
$$;
REVOKE ALL ON FUNCTION page_lines_not_taken(timestamptz, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_lines_not_taken(timestamptz, interval, interval)
    TO tieline_web, tieline_worker, tieline_judge;
