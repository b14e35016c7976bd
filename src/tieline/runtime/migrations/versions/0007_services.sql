-- Every wait has an owner and an end, an invoiced hour that changes is a case, closing a period lists what is
-- in flight, and whatever changes a reference asks for a second look in the same transaction.

-- ---------------------------------------------------------------- where every hour is
-- What was proved absent stands nowhere: its event may be judged again.
CREATE OR REPLACE VIEW standing_effect AS
SELECT e.entry_id, e.business_key, e.state, e.posting_hash, e.seconds, e.entity_code, e.project_id
FROM effect e
WHERE e.noun = 'time_line' AND e.kind = 'book'
  AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT')
  AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                  AND u.state = 'CONFIRMED');

-- How long something may wait before it is held; a release may say otherwise.
CREATE FUNCTION pending_seconds() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((SELECT v.value::integer FROM tieline.policy_value v JOIN tieline.release r USING (release_id)
                     WHERE r.state = 'current' AND v.name = 'pending_seconds' AND v.entity_code = ''), 86400)
$$;

CREATE INDEX verdict_parked ON verdict (parked_until) WHERE outcome = 'parked';
CREATE INDEX intake_batch_unjudged ON intake_batch (batch_id) WHERE state = 'landed';

-- The place names are the old ones; beside them stand why, whose it is, and when waiting ends.
CREATE OR REPLACE VIEW entry_place AS
SELECT p.entry_id, p.connection_key, p.entity_code, p.project_id, p.contract_id, p.period_id, p.seconds,
       p.work_date, p.verdict_id,
       CASE WHEN p.place = 'pending' AND EXISTS (
                SELECT FROM case_member m JOIN case_file c USING (case_id)
                WHERE m.entry_id = p.entry_id AND m.left_at IS NULL AND c.state = 'open'
                  AND c.reason = 'time.waiting_too_long')
            THEN 'held' ELSE p.place END AS place,
       p.because, CASE WHEN p.place = 'pending' THEN 'integration' END AS owner_queue,
       CASE WHEN p.place = 'pending'
            THEN coalesce(p.parked_until, p.waits_since + make_interval(secs => pending_seconds())) END AS due_at
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
           CASE WHEN v.outcome = 'parked' THEN v.parked_until END AS parked_until,
           coalesce(o.planned_at, v.judged_at, w.recorded_at) AS waits_since
    FROM time_entry t
    JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
    LEFT JOIN verdict v ON v.verdict_id = t.verdict_id AND v.version = t.newest_version
    LEFT JOIN handed_over h ON h.entry_id = t.entry_id AND h.released_at IS NULL
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

CREATE OR REPLACE FUNCTION page_tie_out()
RETURNS TABLE (entity_code text, period_code text, period_state text, cut_off_at timestamptz, entries bigint,
    approved_seconds bigint, posted_seconds bigint, pending_seconds bigint, held_seconds bigint,
    excluded_seconds bigint, handed_over_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT p.entity_code, f.period_code, f.state, f.cut_off_at, count(*), sum(p.seconds)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'posted'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'pending'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'held'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'excluded'), 0)::bigint,
           coalesce(sum(p.seconds) FILTER (WHERE p.place = 'handed_over'), 0)::bigint
    FROM entry_place p JOIN fiscal_period f ON f.period_id = p.period_id
    WHERE tieline.visible_entity(p.entity_code)
      AND p.place IN ('posted', 'pending', 'held', 'excluded', 'handed_over')
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
$$;

-- ---------------------------------------------------------------- cases
-- An hour on an invoice is never touched: finance decides about a credit and a new bill, and sees both amounts.
CREATE VIEW case_wanted_invoiced AS
WITH changed AS (
    SELECT t.entry_id, v.entity_code, v.correlation_id, l.business_key, l.seconds, l.amount, l.currency,
           CASE WHEN w.is_deleted OR w.approval = 'not_approved' THEN 0 ELSE coalesce(v.amount, 0) END AS new_amount,
           e.target_connection || ':' || coalesce(i.target_code, 'invoice of line ' || e.target_code) AS thing_key,
           coalesce(i.number, i.target_code, '') AS number, e.deadline_at
    FROM time_entry t
    JOIN verdict v ON v.verdict_id = t.verdict_id
    JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
    JOIN effect e ON e.entry_id = t.entry_id AND e.noun = 'time_line' AND e.kind = 'book' AND e.state = 'CONFIRMED'
    JOIN ledger_line l ON l.business_key = e.business_key
    LEFT JOIN invoice_ledger_line k ON k.business_key = e.business_key
    LEFT JOIN invoice_record i USING (invoice_id)
    LEFT JOIN effect u ON u.undoes_key = e.business_key AND u.kind = 'void' AND u.state = 'REJECTED'
        AND u.reason = 'target.invoiced'
    WHERE u.business_key IS NOT NULL
       OR (v.outcome = 'held' AND EXISTS (SELECT FROM verdict_reason x WHERE x.verdict_id = v.verdict_id
                                          AND x.code = 'time.already_invoiced' AND x.severity = 'error'))
)
SELECT 'posted.invoiced'::text AS reason, 'finance'::text AS owner_queue, 'invoice'::text AS thing_kind,
       c.thing_key, c.entity_code, 'time_entry'::text AS member_kind, c.entry_id::text AS member_key, c.entry_id,
       c.seconds, c.amount, c.currency, CASE WHEN c.amount IS NULL THEN 'unpriced' ELSE 'price' END AS basis,
       c.deadline_at AS due_at, c.correlation_id,
       jsonb_build_object(
           'message', 'Hours on this invoice were changed afterwards.',
           'fix', 'Credit the old amount and bill the new one, or have the change taken back in the time tool.',
           'invoice', c.number,
           'credit', sum(c.amount) OVER w || ' ' || c.currency,
           'rebill', sum(c.new_amount) OVER w || ' ' || c.currency,
           'difference', sum(c.new_amount - c.amount) OVER w || ' ' || c.currency) AS details
FROM changed c WINDOW w AS (PARTITION BY c.thing_key, c.currency);

-- A void that the target refused because the line is invoiced is told above, with its amounts.
CREATE OR REPLACE VIEW case_wanted_effect AS
SELECT 'posted.' || lower(e.state) AS reason, 'integration'::text AS owner_queue, 'target'::text AS thing_kind,
       e.target_connection || ':' || e.noun || ':' || coalesce(e.entity_code, '') || ':'
           || CASE e.state WHEN 'REJECTED' THEN coalesce(e.reason, '') || coalesce(':' || e.project_id, '')
                           ELSE e.business_key::text END AS thing_key,
       e.entity_code, 'effect'::text AS member_kind, e.business_key::text AS member_key, e.entry_id,
       abs(e.seconds) AS seconds, abs(e.amount) AS amount, e.currency,
       CASE WHEN e.amount IS NULL THEN 'unpriced' ELSE 'price' END AS basis, e.deadline_at AS due_at,
       e.correlation_id, jsonb_build_object('message', coalesce(e.reason, '')) AS details
FROM effect e
WHERE e.state IN ('REJECTED', 'CONFLICT')
  AND NOT (e.kind = 'void' AND e.noun = 'time_line' AND e.state = 'REJECTED'
           AND e.reason IS NOT DISTINCT FROM 'target.invoiced');

-- What stands in a target is at risk too while its hour is held: the larger of both is shown.
CREATE OR REPLACE VIEW case_wanted AS
SELECT w.reason, w.owner_queue, w.thing_kind, w.thing_key, w.entity_code, w.member_kind, w.member_key, w.entry_id,
       greatest(w.seconds, s.seconds) AS seconds,
       CASE WHEN s.amount > coalesce(w.amount, 0) THEN s.amount ELSE w.amount END AS amount,
       CASE WHEN s.amount > coalesce(w.amount, 0) THEN s.currency ELSE w.currency END AS currency,
       CASE WHEN s.amount > coalesce(w.amount, 0) THEN 'price' ELSE w.basis END AS basis,
       w.due_at, w.correlation_id, w.details
FROM case_wanted_time w
LEFT JOIN LATERAL (
    SELECT e.seconds, e.amount, e.currency FROM effect e
    WHERE e.entry_id = w.entry_id AND e.noun = 'time_line' AND e.kind = 'book' AND e.state = 'CONFIRMED'
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND u.state = 'CONFIRMED')
    ORDER BY e.effect_no DESC LIMIT 1
) s ON true
WHERE w.reason <> 'time.already_invoiced'
UNION ALL SELECT * FROM case_wanted_raw
UNION ALL SELECT * FROM case_wanted_effect
UNION ALL SELECT * FROM case_wanted_invoiced;

-- What waits longer than it may: a write that is not confirmed, or a batch that nobody judged.
CREATE FUNCTION case_wanted_rows(at timestamptz) RETURNS SETOF case_wanted LANGUAGE plpgsql STABLE ROWS 20000 AS $$
BEGIN
    RETURN QUERY SELECT * FROM tieline.case_wanted;
    RETURN QUERY
    SELECT 'time.waiting_too_long'::text, 'integration'::text, 'target'::text,
           e.target_connection || ':' || e.entity_code, e.entity_code, 'time_entry'::text, e.entry_id::text,
           e.entry_id, abs(e.seconds), abs(e.amount), e.currency,
           CASE WHEN e.amount IS NULL THEN 'unpriced' ELSE 'price' END, e.deadline_at, e.correlation_id,
           jsonb_build_object('message', 'Hours wait longer than they may for the target to take them.',
                              'fix', 'See why the connection is slow, paused or locked, and send them again.')
    FROM tieline.effect e
    WHERE e.noun = 'time_line' AND e.state IN ('PLANNED', 'INTENT', 'UNKNOWN', 'PROBING', 'ABSENT')
      AND e.planned_at + make_interval(secs => tieline.pending_seconds()) <= at
      AND NOT EXISTS (SELECT FROM tieline.effect o WHERE o.entry_id = e.entry_id AND o.effect_no > e.effect_no
                      AND o.noun = 'time_line' AND o.target_connection = e.target_connection
                      AND o.state IN ('PLANNED', 'INTENT', 'UNKNOWN', 'PROBING', 'ABSENT'));
    RETURN QUERY
    SELECT 'time.waiting_too_long'::text, 'integration'::text, 'stream'::text, b.connection_key || ':' || b.stream,
           NULL::text, 'time_entry'::text, w.entry_id::text, w.entry_id, w.seconds, NULL::numeric, NULL::text,
           'unpriced'::text, NULL::timestamptz, b.correlation_id,
           jsonb_build_object('message', 'Hours that were read are not judged.', 'fix', 'Start a worker.')
    FROM tieline.intake_batch b
    JOIN tieline.time_entry_version w ON w.batch_id = b.batch_id AND w.is_newest AND NOT w.is_deleted
        AND w.approval <> 'not_approved'
    WHERE b.state = 'landed' AND b.landed_at + make_interval(secs => tieline.pending_seconds()) <= at;
END $$;

-- ---------------------------------------------------------------- closing a period
-- What is still moving in a period, by kind. The period is locked first: nobody sends while this is read.
CREATE FUNCTION period_in_flight(asked uuid)
RETURNS TABLE (what text, items bigint, seconds bigint, amount numeric, currency text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    found fiscal_period;
BEGIN
    SELECT * INTO found FROM fiscal_period p WHERE p.period_id = asked FOR UPDATE;
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
        WHERE p.period_id = asked AND p.place IN ('pending', 'held', 'leaving')
          AND NOT EXISTS (SELECT FROM effect e WHERE e.entry_id = p.entry_id AND e.noun = 'time_line'
                          AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING'))
        UNION ALL
        SELECT 'released', r.seconds, r.expected_amount, r.currency FROM release_lock k
        JOIN readiness r USING (contract_id, period_id) WHERE k.period_id = asked AND k.unlocked_at IS NULL
    ) x GROUP BY x.what, x.currency ORDER BY x.what, x.currency;
END $$;

-- Open or close a period; what was cleared for it, or held because of it, is judged again.
CREATE FUNCTION move_period(moved uuid, to_state text, moved_by text, moved_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    found fiscal_period;
BEGIN
    SELECT * INTO found FROM fiscal_period p WHERE p.period_id = moved FOR UPDATE;
    IF found.period_id IS NULL OR (session_user = 'tieline_web' AND NOT visible_entity(found.entity_code)) THEN
        RAISE EXCEPTION 'there is no period %', moved USING ERRCODE = 'no_data_found';
    END IF;
    IF found.state = to_state THEN
        RETURN false;
    END IF;
    UPDATE fiscal_period SET state = to_state WHERE period_id = moved;
    UPDATE fiscal_period_state SET superseded_at = greatest(moved_at, recorded_at)
    WHERE period_id = moved AND superseded_at IS NULL;
    INSERT INTO fiscal_period_state (period_id, state, recorded_at, changed_by)
    VALUES (moved, to_state, moved_at, moved_by);
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT 'entry:' || t.entry_id, 'period.' || to_state, 'period:' || moved, moved_at
    FROM time_entry t
    JOIN verdict v USING (verdict_id)
    LEFT JOIN effect e ON e.entry_id = t.entry_id AND e.noun = 'time_line'
         AND e.state IN ('PLANNED', 'ABSENT', 'CONFIRMED')
    WHERE (v.period_id = moved OR e.period_id = moved)
      AND (v.outcome IN ('held', 'parked') OR e.state IN ('PLANNED', 'ABSENT'));
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION period_in_flight(uuid), move_period(uuid, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION period_in_flight(uuid), move_period(uuid, text, text, timestamptz)
    TO tieline_web, tieline_worker;

-- ---------------------------------------------------------------- changed references
-- A key that no verdict read concerns nobody.
CREATE FUNCTION mark_keys(keys text[], because text, at timestamptz) RETURNS void
LANGUAGE sql SET search_path = tieline, pg_temp AS $$
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT k, because, because, at FROM unnest(keys) k
    WHERE k IS NOT NULL AND EXISTS (SELECT FROM verdict v WHERE v.neighbor_keys @> ARRAY[k])
$$;
CREATE FUNCTION keys_of_people(people uuid[]) RETURNS text[] LANGUAGE sql STABLE SET search_path = tieline, pg_temp AS $$
    SELECT array_agg('person:' || x.connection_key || ':' || x.source_ref) FROM crosswalk x
    WHERE x.noun = 'person' AND x.our_id = ANY (people)
$$;
CREATE FUNCTION keys_of_projects(projects uuid[]) RETURNS text[] LANGUAGE sql STABLE SET search_path = tieline, pg_temp AS $$
    SELECT array_agg('project:' || x.connection_key || ':' || x.source_ref) FROM crosswalk x
    WHERE x.noun = 'project' AND x.our_id = ANY (projects)
$$;

CREATE FUNCTION links_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(
        ARRAY(SELECT c.noun || ':' || c.connection_key || ':' || c.source_ref FROM changed c
              WHERE c.noun IN ('person', 'project'))
        || keys_of_people(ARRAY(SELECT c.our_id FROM changed c WHERE c.noun IN ('person', 'employee')))
        || keys_of_projects(ARRAY(SELECT t.project_id FROM changed c JOIN task t ON t.task_id = c.our_id
                                  WHERE c.noun = 'task'))
        || ARRAY(SELECT 'contract:' || l.contract_id FROM changed c
                 JOIN contract_line l ON l.contract_line_id = c.our_id WHERE c.noun = 'erp_task'),
        'link.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION people_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_people(ARRAY(SELECT c.person_id FROM changed c)), TG_TABLE_NAME || '.changed',
                      (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION agreement_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(
        keys_of_people(ARRAY(SELECT e.person_id FROM employment e JOIN changed c ON c.home_entity_code = e.entity_code)),
        'agreement.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION projects_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_projects(ARRAY(SELECT c.project_id FROM changed c)), TG_TABLE_NAME || '.changed',
                      (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION contracts_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(ARRAY(SELECT 'contract:' || c.contract_id FROM changed c), TG_TABLE_NAME || '.changed',
                      (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION clients_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(
        ARRAY(SELECT 'contract:' || k.contract_id FROM changed c
              JOIN client l ON coalesce(l.redirect_to, l.client_id) = c.client_id JOIN contract k ON k.client_id = l.client_id),
        'client.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
DO $$
DECLARE
    watched record;
    event text;
BEGIN
    FOR watched IN
        SELECT * FROM (VALUES ('crosswalk', 'links_changed'), ('employment', 'people_changed'),
            ('leave', 'people_changed'), ('assignment', 'people_changed'),
            ('intercompany_agreement', 'agreement_changed'), ('project_version', 'projects_changed'),
            ('task', 'projects_changed'), ('contract_version', 'contracts_changed'),
            ('contract_line', 'contracts_changed'), ('client_version', 'clients_changed')) AS w (name, calls)
    LOOP
        FOREACH event IN ARRAY ARRAY['INSERT', 'UPDATE'] LOOP
            EXECUTE format('CREATE TRIGGER %I AFTER %s ON %I REFERENCING NEW TABLE AS changed'
                           ' FOR EACH STATEMENT EXECUTE FUNCTION %I()',
                           watched.name || '_asks_again_' || lower(event), event, watched.name, watched.calls);
        END LOOP;
    END LOOP;
END $$;
