-- What is open of effects stands in a narrow table of its own, kept by the database in the statement that changes an
-- effect. An effect takes three states and more; as long as an index of it named its state, each of them wrote a new
-- entry into every index that it has. None does now: a step is written in place.

LOCK TABLE effect IN ACCESS EXCLUSIVE MODE;

-- One row for each effect that may still move, or that somebody still has to look at: not confirmed and not withdrawn;
-- or confirmed as altered by the target, or after more than one attempt and not asked about again. It is derived:
-- only the triggers below write it, as the owner.
CREATE TABLE unsettled_effect (
    business_key  uuid PRIMARY KEY,
    target_connection text NOT NULL,
    entity_code   text,
    period_id     uuid,
    noun          text NOT NULL,
    kind          text NOT NULL,
    state         text NOT NULL,
    is_first      boolean NOT NULL,
    due_at        timestamptz,
    deadline_at   timestamptz,
    amount        numeric,
    planned_at    timestamptz NOT NULL,
    entry_id      uuid
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 5000);
-- In the order in which lines are sent.
CREATE INDEX unsettled_effect_waiting ON unsettled_effect (target_connection, entity_code, period_id,
    is_first, deadline_at, amount DESC NULLS LAST, planned_at, business_key)
    WHERE noun = 'time_line' AND state IN ('PLANNED', 'ABSENT');
CREATE INDEX unsettled_effect_voids ON unsettled_effect (target_connection, entity_code, period_id)
    WHERE noun = 'time_line' AND kind = 'void' AND state IN ('PLANNED', 'ABSENT');
CREATE INDEX unsettled_effect_moving ON unsettled_effect (target_connection, entity_code, period_id)
    WHERE state IN ('INTENT', 'UNKNOWN', 'PROBING');
-- What waits for people, and what is asked about once more.
CREATE INDEX unsettled_effect_left ON unsettled_effect (state, target_connection)
    WHERE state IN ('REJECTED', 'CONFLICT', 'CONFIRMED');
CREATE INDEX unsettled_effect_given ON unsettled_effect (entry_id) WHERE state = 'HANDED_OVER';

ALTER TABLE unsettled_effect ENABLE ROW LEVEL SECURITY;
ALTER TABLE unsettled_effect FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON unsettled_effect TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON unsettled_effect FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON unsettled_effect FOR SELECT TO tieline_web USING (visible_entity(entity_code));
REVOKE INSERT, UPDATE, DELETE ON unsettled_effect FROM tieline_worker;
GRANT SELECT ON unsettled_effect TO tieline_web;

CREATE FUNCTION effect_is_unsettled(state text, reason text, noun text, kind text, attempt integer,
    asked_again_at timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT state NOT IN ('CONFIRMED', 'WITHDRAWN')
        OR state = 'CONFIRMED' AND (coalesce(reason = 'posted.altered_by_target', false)
            OR attempt > 1 AND asked_again_at IS NULL AND noun = 'time_line' AND kind = 'book')
$$;
GRANT EXECUTE ON FUNCTION effect_is_unsettled(text, text, text, text, integer, timestamptz)
    TO tieline_worker, tieline_web, tieline_judge;

INSERT INTO unsettled_effect
SELECT business_key, target_connection, entity_code, period_id, noun, kind, state, attempt = 0, due_at, deadline_at,
       amount, planned_at, entry_id
FROM effect WHERE effect_is_unsettled(state, reason, noun, kind, attempt, asked_again_at);

-- Looked up by key, one by one, however large the sets are and whatever was planned for smaller ones.
CREATE FUNCTION effects_are_unsettled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO unsettled_effect
    SELECT n.business_key, n.target_connection, n.entity_code, n.period_id, n.noun, n.kind, n.state, n.attempt = 0,
           n.due_at, n.deadline_at, n.amount, n.planned_at, n.entry_id
    FROM new_rows n;
    RETURN NULL;
END $$;
CREATE TRIGGER effects_are_unsettled AFTER INSERT ON effect REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION effects_are_unsettled();
CREATE FUNCTION effects_are_settled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    changed bigint;
    left_over bigint;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE effect_is_unsettled(state, reason, noun, kind, attempt, asked_again_at))
    INTO changed, left_over FROM new_rows;
    IF left_over < changed THEN
        DELETE FROM unsettled_effect u USING new_rows n
        WHERE u.business_key = n.business_key
          AND NOT effect_is_unsettled(n.state, n.reason, n.noun, n.kind, n.attempt, n.asked_again_at);
    END IF;
    IF left_over > 0 THEN
        UPDATE unsettled_effect u
        SET state = n.state, is_first = n.attempt = 0, due_at = n.due_at, deadline_at = n.deadline_at,
            amount = n.amount, planned_at = n.planned_at, period_id = n.period_id, entity_code = n.entity_code
        FROM new_rows n
        WHERE u.business_key = n.business_key
          AND effect_is_unsettled(n.state, n.reason, n.noun, n.kind, n.attempt, n.asked_again_at);
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed < left_over THEN
            -- What was settled is not any more, such as a line that was found altered afterwards.
            INSERT INTO unsettled_effect
            SELECT n.business_key, n.target_connection, n.entity_code, n.period_id, n.noun, n.kind, n.state,
                   n.attempt = 0, n.due_at, n.deadline_at, n.amount, n.planned_at, n.entry_id
            FROM new_rows n
            WHERE effect_is_unsettled(n.state, n.reason, n.noun, n.kind, n.attempt, n.asked_again_at)
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER effects_are_settled AFTER UPDATE ON effect REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION effects_are_settled();
CREATE FUNCTION effect_is_gone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
BEGIN
    DELETE FROM unsettled_effect u WHERE u.business_key = OLD.business_key;
    RETURN NULL;
END $$;
CREATE TRIGGER effect_is_gone AFTER DELETE ON effect FOR EACH ROW EXECUTE FUNCTION effect_is_gone();

-- The effects that are open, found by their state and scope. What both tables know is read where it is indexed.
CREATE VIEW open_effect WITH (security_invoker = true) AS
SELECT u.business_key, e.connection_key, e.source_epoch, e.object, e.source_ref, u.target_connection, u.noun, e.part,
       e.effect_no, u.kind, e.undoes_key, u.state, e.attempt, u.is_first, e.payload_hash, e.target_code, e.reason,
       u.due_at, e.sent_at, e.settled_at, e.verdict_id, u.entry_id, e.entry_version, e.verdict_outcome,
       u.entity_code, u.period_id, e.project_id, e.seconds, u.amount, e.currency, e.posting_hash, e.work_class,
       u.deadline_at, e.release_id, e.correlation_id, u.planned_at, e.asked_again_at, e.stored_hash, e.asked_times,
       e.times_asked, e.books_on
FROM unsettled_effect u JOIN effect e ON e.business_key = u.business_key;
GRANT SELECT ON open_effect TO tieline_worker, tieline_judge, tieline_web;

-- What takes an effect back once: the same promise as before, without the state in the condition of an index.
ALTER TABLE effect ADD COLUMN undoing_key uuid;
CREATE FUNCTION effect_undoes_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.undoing_key := CASE WHEN NEW.state <> 'WITHDRAWN' THEN NEW.undoes_key END;
    RETURN NEW;
END $$;
UPDATE effect SET undoing_key = undoes_key WHERE kind = 'void' AND state <> 'WITHDRAWN';
CREATE TRIGGER effect_undoes_once BEFORE INSERT OR UPDATE ON effect FOR EACH ROW
    WHEN (NEW.kind = 'void') EXECUTE FUNCTION effect_undoes_once();
DROP INDEX effect_undone_once;
CREATE UNIQUE INDEX effect_undone_once ON effect (undoing_key) WHERE undoing_key IS NOT NULL;
CREATE INDEX effect_undoes ON effect (undoes_key) WHERE undoes_key IS NOT NULL;

DROP INDEX effect_open, effect_scope, effect_refused, effect_altered, effect_sent_twice, effect_handed_over,
    effect_made, effect_people, effect_project;
-- By project, whatever it is: a condition on the noun alone, which nearly all share, must not choose this index.
CREATE INDEX effect_project ON effect (project_id) WHERE project_id IS NOT NULL;
CREATE INDEX effect_written ON effect (target_connection, noun) WHERE noun <> 'time_line';
-- Room for the next state beside the last.
ALTER TABLE effect SET (fillfactor = 50);

-- Who looks for open effects looks there.
CREATE OR REPLACE VIEW handed_over AS
SELECT u.entry_id, f.file_name, f.made_at AS recorded_at, NULL::timestamptz AS released_at, f.valid_until
FROM unsettled_effect u
JOIN import_file_line l ON l.business_key = u.business_key AND l.outcome = 'given'
JOIN import_file f USING (file_id)
WHERE u.state = 'HANDED_OVER';
CREATE OR REPLACE VIEW case_wanted_effect AS
SELECT CASE WHEN e.reason = 'posting.unconfirmed' THEN 'posted.unconfirmed'
            ELSE 'posted.' || lower(e.state) END AS reason,
       'integration'::text AS owner_queue, 'target'::text AS thing_kind,
       e.target_connection || ':' || e.noun || ':' || coalesce(e.entity_code, '') || ':'
           || CASE WHEN e.reason = 'posting.unconfirmed' THEN 'unconfirmed'
                   WHEN e.state = 'REJECTED' THEN coalesce(e.reason, '') || coalesce(':' || e.project_id, '')
                   ELSE e.business_key::text END AS thing_key,
       e.entity_code, 'effect'::text AS member_kind, e.business_key::text AS member_key, e.entry_id,
       abs(e.seconds) AS seconds, abs(e.amount) AS amount, e.currency,
       CASE WHEN e.amount IS NULL THEN 'unpriced' ELSE 'price' END AS basis, e.deadline_at AS due_at,
       e.correlation_id,
       CASE WHEN e.reason = 'posting.unconfirmed' THEN jsonb_build_object(
                'message', 'These lines were sent once and not answered; the target cannot be asked for them.',
                'fix', 'Look for each line in the target, and say which stand there.')
            ELSE jsonb_build_object('message', coalesce(e.reason, '')) END AS details
FROM open_effect e
WHERE e.state IN ('REJECTED', 'CONFLICT')
  AND NOT (e.kind = 'void' AND e.noun = 'time_line' AND e.state = 'REJECTED'
           AND e.reason IS NOT DISTINCT FROM 'target.invoiced')
UNION ALL
-- It leaves when the line is taken back, by a change of the hour or by a person in the target.
SELECT 'posted.altered_by_target', 'finance', 'target',
       e.target_connection || ':' || e.noun || ':' || coalesce(e.entity_code, '') || coalesce(':' || e.project_id, ''),
       -- No hour waits for it: what stands in the target is in the ledger as the target stored it.
       e.entity_code, 'effect', e.business_key::text, NULL,
       abs(e.seconds), abs(e.amount), e.currency,
       CASE WHEN e.amount IS NULL THEN 'unpriced' ELSE 'price' END, e.deadline_at, e.correlation_id,
       jsonb_build_object(
           'message', 'The target stored another day, person, task or quantity than was sent.',
           'fix', 'Compare the hours in both systems; change what is wrong where it was booked, or leave it as it is with a reason.')
FROM open_effect e
WHERE e.state = 'CONFIRMED' AND e.reason = 'posted.altered_by_target'
  AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                  AND u.state = 'CONFIRMED');
-- The pages and checks that read open effects by their state alone: the same text with the other name in it.
DO $$
DECLARE
    reader regprocedure;
    body text;
    changed text;
BEGIN
    FOREACH reader IN ARRAY ARRAY['case_wanted_rows(timestamptz)', 'page_backlog()',
        'page_lines_not_taken(timestamptz, interval, interval)', 'page_stops()',
        'page_unconfirmed(text, text, uuid, integer)', 'period_moving(uuid)']::regprocedure[]
    LOOP
        body := pg_get_functiondef(reader);
        changed := regexp_replace(body, '\m(FROM|JOIN) (tieline\.)?effect\M', '\1 tieline.open_effect', 'g');
        IF changed = body THEN
            RAISE EXCEPTION '% reads no effects', reader;
        END IF;
        EXECUTE changed;
    END LOOP;
END $$;

-- The stops are asked first, and there are few or none.
CREATE OR REPLACE FUNCTION stops_over(source text, target text, entity text, period uuid, project uuid, noun text)
RETURNS SETOF posting_stop LANGUAGE sql STABLE AS $$
    SELECT s.* FROM tieline.posting_stop s
    WHERE s.lifted_at IS NULL
      AND (s.source_connection IS NULL OR stops_over.noun <> 'time_line' OR s.source_connection = stops_over.source)
      AND (s.target_connection IS NULL OR s.target_connection = stops_over.target)
      AND (s.entity_code IS NULL OR s.entity_code = stops_over.entity)
      AND (s.period_id IS NULL OR stops_over.period IS NULL OR s.period_id = stops_over.period)
      AND (s.project_id IS NULL OR s.project_id = stops_over.project)
      AND NOT EXISTS (SELECT FROM tieline.noun_without_money n WHERE n.noun = stops_over.noun AND s.stop_id IS NOT NULL)
$$;
