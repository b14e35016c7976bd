-- A verdict is decided by what stands, by references, by the calendar and by other hours. What changes of these asks for
-- a new look at every hour that may be decided otherwise. These were not told:

LOCK TABLE effect, time_entry, verdict IN SHARE ROW EXCLUSIVE MODE;

-- ---------------------------------------------------------------- what stood and does not any more
-- What was taken back, refused or never there leaves room under a cap, and what was never there counts otherwise in its
-- day; what the source calls the same since it was reset may go. Whoever is at work may have read it as it stood: so the
-- mark is left whoever is known to wait for it.
CREATE OR REPLACE FUNCTION standing_is_summed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp SET enable_seqscan = off AS $$
BEGIN
    WITH moved AS MATERIALIZED (
        SELECT x.* FROM (
            -- Only a full join is never made row by row, and it stays one as long as nothing is asked inside of it.
            SELECT n.entry_id, n.undoes_key, n.kind, o.verdict_id AS old_verdict_id, o.amount AS old_amount,
                   o.seconds AS old_seconds, effect_counts(o.state, o.kind) AS counted,
                   n.verdict_id, n.amount, n.seconds, effect_counts(n.state, n.kind) AS counts,
                   n.connection_key, n.source_epoch, n.object, n.source_ref, n.planned_at
            FROM old_rows o FULL JOIN new_rows n ON n.business_key = o.business_key
            WHERE coalesce(n.noun, o.noun) = 'time_line' OFFSET 0
        ) x
        WHERE x.counted <> x.counts OR x.counts AND (x.old_verdict_id, x.old_amount, x.old_seconds)
            IS DISTINCT FROM (x.verdict_id, x.amount, x.seconds)
    ), undone AS MATERIALIZED (
        SELECT m.*, b.verdict_id AS booked_verdict_id, b.amount AS booked_amount, b.seconds AS booked_seconds
        FROM moved m
        CROSS JOIN LATERAL (SELECT * FROM effect b WHERE b.business_key = m.undoes_key OFFSET 0) b
        WHERE m.kind = 'void' AND m.counts AND NOT m.counted
    ), added AS (
        SELECT verdict_id, amount, seconds FROM moved WHERE kind = 'book' AND counts
        UNION ALL
        SELECT old_verdict_id, -old_amount, -old_seconds FROM moved WHERE kind = 'book' AND counted
        UNION ALL
        SELECT booked_verdict_id, -booked_amount, -booked_seconds FROM undone
    ), fallen AS (
        SELECT old_verdict_id AS verdict_id, kind, connection_key, source_epoch, object, source_ref, planned_at
        FROM moved WHERE kind = 'book' AND counted AND NOT counts
        UNION ALL
        SELECT booked_verdict_id, kind, connection_key, source_epoch, object, source_ref, planned_at FROM undone
    ), asked AS (
        INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
        SELECT k, 'ledger.fallen', 'ledger.fallen', max(planned_at) FROM (
            -- What is taken back has left its day already, or comes back to it.
            SELECT k, f.planned_at FROM fallen f
            CROSS JOIN LATERAL (SELECT v.neighbor_keys FROM verdict v WHERE v.verdict_id = f.verdict_id OFFSET 0) v
            CROSS JOIN LATERAL unnest(v.neighbor_keys) k
            WHERE k LIKE 'cap:%' OR k LIKE 'client-cap:%' OR k LIKE 'person-day:%' AND f.kind = 'book'
            UNION ALL
            -- What left by a decision of people says so, now that nothing of it stands.
            SELECT 'entry:' || u.entry_id, u.planned_at FROM undone u
            CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = u.verdict_id OFFSET 0) v
            CROSS JOIN LATERAL (
                SELECT FROM time_entry_version w
                WHERE w.entry_id = u.entry_id AND w.is_newest AND NOT w.is_deleted AND w.approval <> 'not_approved'
                OFFSET 0) w
            WHERE v.seconds = 0 AND v.posting_hash IS NULL
            UNION ALL
            SELECT 'entry:' || t.entry_id, f.planned_at FROM fallen f
            JOIN connection c ON c.connection_key = f.connection_key AND c.source_epoch > f.source_epoch
            CROSS JOIN LATERAL generate_series(f.source_epoch + 1, c.source_epoch) epoch
            CROSS JOIN LATERAL (
                SELECT t.entry_id FROM time_entry t
                WHERE (t.connection_key, t.source_epoch, t.object, t.source_ref)
                    = (f.connection_key, epoch, f.object, f.source_ref) OFFSET 0) t
        ) x
        GROUP BY k
    ), listed AS (
        -- What stands of an hour is no neighbor; what stood and does not any more is one again.
        DELETE FROM scarce_hour h
        WHERE h.entry_id = ANY (ARRAY(SELECT entry_id FROM moved WHERE kind = 'book' AND counts AND NOT counted))
    ), listed_again AS (
        INSERT INTO scarce_hour
        SELECT DISTINCT k, m.entry_id
        FROM moved m
        CROSS JOIN LATERAL (SELECT t.verdict_id FROM time_entry t WHERE t.entry_id = m.entry_id OFFSET 0) t
        CROSS JOIN LATERAL (SELECT v.neighbor_keys FROM verdict v WHERE v.verdict_id = t.verdict_id OFFSET 0) v
        CROSS JOIN LATERAL scarce_keys(v.neighbor_keys) k
        WHERE m.counted <> m.counts AND m.counts = (m.kind = 'void')
        ON CONFLICT DO NOTHING
    )
    INSERT INTO standing_sum (contract_id, currency, amount, seconds)
    SELECT v.contract_id, v.currency, coalesce(sum(a.amount), 0), coalesce(sum(a.seconds), 0)
    FROM added a
    CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = a.verdict_id OFFSET 0) v
    WHERE v.contract_id IS NOT NULL
    GROUP BY v.contract_id, v.currency;
    RETURN NULL;
END $$;

-- What is put on an invoice while it waits to be taken back stays: its change asks for a credit from then on.
CREATE FUNCTION invoiced_is_told() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
BEGIN
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT 'entry:' || u.entry_id, 'invoice.drafted', u.correlation_id, u.planned_at
    FROM new_rows n
    CROSS JOIN LATERAL (
        SELECT u.entry_id, u.correlation_id, u.planned_at FROM effect u
        WHERE u.undoes_key = n.business_key AND u.kind = 'void' AND u.state IN ('PLANNED', 'ABSENT') OFFSET 0) u;
    RETURN NULL;
END $$;
CREATE TRIGGER invoiced_is_told AFTER INSERT ON invoice_ledger_line REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION invoiced_is_told();

-- What is taken back and not booked anew yet may be looked at once more between the two: its change is still under way.
CREATE OR REPLACE VIEW change_state AS
SELECT c.*, t.connection_key, t.object, t.source_ref, b.target_connection, u.state AS undo_state,
       CASE
           WHEN d.is_done THEN 'corrected'
           WHEN NOT d.is_current THEN CASE WHEN u.state = 'CONFIRMED' THEN 'corrected' ELSE 'overtaken' END
           WHEN u.state = 'REJECTED' AND u.reason = 'target.invoiced' THEN 'credit_proposed'
           WHEN u.state IN ('REJECTED', 'CONFLICT') THEN 'held'
           WHEN v.outcome <> 'held' THEN 'under_way'
           WHEN EXISTS (SELECT FROM proposal p WHERE p.state = 'proposed' AND p.kind IN ('change.adjust', 'change.credited')
                        AND p.payload -> 'change_ids' ? c.change_id::text) THEN 'proposed'
           WHEN c.way = 'credit_and_rebill' THEN 'credit_proposed'
           WHEN c.way IN ('adjust', 'ask') AND NOT EXISTS (
               SELECT FROM verdict_reason r WHERE r.verdict_id = v.verdict_id AND r.severity = 'error'
                 AND r.code NOT IN ('time.period_closed', 'time.change_not_agreed')) THEN 'to_approve'
           ELSE 'held'
       END AS state
FROM posted_change c
JOIN time_entry t ON t.entry_id = c.entry_id
LEFT JOIN verdict v ON v.verdict_id = t.verdict_id
LEFT JOIN effect b ON b.business_key = c.standing_key
LEFT JOIN LATERAL (
    -- Of a split hour both lines are taken back: the one that is not yet speaks for both.
    SELECT u.state, u.reason FROM effect o
    JOIN effect u ON u.undoes_key = o.business_key AND u.kind = 'void' AND u.state <> 'WITHDRAWN'
    WHERE o.entry_id = c.entry_id AND o.noun = 'time_line' AND o.kind = 'book'
      AND (o.business_key = b.business_key
           OR o.part <> b.part AND o.posting_hash = b.posting_hash AND u.entry_version = c.version)
    ORDER BY u.state = 'CONFIRMED', o.business_key = b.business_key DESC LIMIT 1
) u ON true
CROSS JOIN LATERAL (
    SELECT (c.kind = 'late' OR u.state IS NOT DISTINCT FROM 'CONFIRMED')
           -- All that this version asked for is booked, whatever took it back since.
           AND c.new_seconds = (
               SELECT coalesce(sum(n.seconds), 0) FROM effect n
               WHERE n.entry_id = c.entry_id AND n.entry_version = c.version AND n.kind = 'book'
                 AND n.noun = 'time_line' AND n.state = 'CONFIRMED' AND n.business_key IS DISTINCT FROM c.standing_key
                 AND NOT EXISTS (SELECT FROM effect z WHERE z.undoes_key = n.business_key AND z.kind = 'void'
                                 AND z.state = 'CONFIRMED' AND z.verdict_id <= c.verdict_id))
               AS is_done,
           t.newest_version = c.version AND v.version = c.version
           AND (v.outcome IN ('correct', 'held') OR v.outcome = 'cleared' AND (c.kind = 'late' OR u.state IS NOT NULL))
               AS is_current
) d;

-- ---------------------------------------------------------------- who counts
-- Hours that begin or cease to count, and whoever is judged together with them.
CREATE FUNCTION mark_neighbors(entries uuid[], because text, at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT n.key, because, because, at
    FROM unnest(entries) AS x (entry_id)
    JOIN time_entry t USING (entry_id)
    JOIN verdict v USING (verdict_id)
    CROSS JOIN LATERAL unnest(v.neighbor_keys) k
    -- The rest before the next day is counted from this one.
    CROSS JOIN LATERAL (VALUES (k), (CASE WHEN k LIKE 'person-rest:%' THEN left(k, -10) || (right(k, 10)::date + 1) END))
        AS n (key)
    WHERE n.key IS NOT NULL AND split_part(k, ':', 1) NOT IN ('person', 'project', 'contract', 'approver')
$$;
REVOKE ALL ON FUNCTION mark_neighbors(uuid[], text, timestamptz) FROM PUBLIC;

CREATE FUNCTION excluded_leave_room() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_neighbors(ARRAY(SELECT entry_id FROM new_rows), 'time.excluded',
                           (SELECT max(recorded_at) FROM new_rows));
    RETURN NULL;
END $$;
CREATE TRIGGER excluded_leave_room AFTER INSERT ON exclusion REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION excluded_leave_room();

-- The table says no instant: what was known when these hours were judged is older than now.
CREATE FUNCTION go_live_moves() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
DECLARE
    before date := CASE WHEN TG_OP = 'UPDATE' THEN OLD.go_live_on ELSE '-infinity' END;
    concerned uuid[];
    at timestamptz;
BEGIN
    SELECT array_agg(t.entry_id), max(v.known_at) INTO concerned, at
    FROM time_entry_version w
    JOIN time_entry t USING (entry_id)
    JOIN verdict v USING (verdict_id)
    WHERE w.is_newest AND t.connection_key = NEW.connection_key
      AND w.work_date >= least(before, NEW.go_live_on) AND w.work_date < greatest(before, NEW.go_live_on)
      -- Whose company nobody knows begins to count with the first of them.
      AND coalesce(v.entity_code, NEW.entity_code) = NEW.entity_code;
    IF at IS NOT NULL THEN
        PERFORM mark_neighbors(concerned, 'go_live.moved', at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER go_live_is_told AFTER INSERT ON connection_go_live FOR EACH ROW EXECUTE FUNCTION go_live_moves();
CREATE TRIGGER go_live_moves AFTER UPDATE ON connection_go_live FOR EACH ROW
    WHEN (NEW.go_live_on <> OLD.go_live_on) EXECUTE FUNCTION go_live_moves();

-- ---------------------------------------------------------------- whom a link names
-- Who approved is another person than who worked.
CREATE OR REPLACE FUNCTION links_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(
        ARRAY(SELECT c.noun || ':' || c.connection_key || ':' || c.source_ref FROM changed c
              WHERE c.noun IN ('person', 'project'))
        || ARRAY(SELECT 'approver:' || c.connection_key || ':' || c.source_ref FROM changed c
                 WHERE c.noun = 'person' AND EXISTS (SELECT FROM approval_authority))
        || keys_of_people(ARRAY(SELECT c.our_id FROM changed c WHERE c.noun IN ('person', 'employee')))
        || keys_of_projects(ARRAY(SELECT t.project_id FROM changed c JOIN task t ON t.task_id = c.our_id
                                  WHERE c.noun = 'task'))
        || ARRAY(SELECT 'contract:' || l.contract_id FROM changed c
                 JOIN contract_line l ON l.contract_line_id = c.our_id WHERE c.noun = 'erp_task'),
        'link.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;

-- Another ERP keeps the books of a company, or its clocks go otherwise.
CREATE FUNCTION entity_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(SELECT k.contract_id FROM contract k WHERE k.entity_code = NEW.entity_code)),
                      'entity.changed', NEW.recorded_at);
    RETURN NULL;
END $$;
CREATE TRIGGER entity_changed AFTER UPDATE ON legal_entity FOR EACH ROW
    WHEN ((NEW.erp_connection_key, NEW.zone) IS DISTINCT FROM (OLD.erp_connection_key, OLD.zone))
    EXECUTE FUNCTION entity_changed();

-- Hours that stand in a target and belong elsewhere by now, though their source says the same: since they were judged
-- its word for the person, the project or the task means another one of ours for their day, or the person is assigned in
-- another role. What nobody knows any more is no other one. Whether they are booked anew the judge decides; here only
-- whom to ask, from what changed.
CREATE FUNCTION moved_hours(keys text[]) RETURNS TABLE (entry_id uuid)
LANGUAGE plpgsql STABLE SET search_path = tieline, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    asked text[] := ARRAY(SELECT k FROM unnest(keys) k WHERE k LIKE 'person:%' OR k LIKE 'project:%');
BEGIN
    IF cardinality(asked) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH named AS MATERIALIZED (
        SELECT a.k, x.noun, x.connection_key, x.source_ref, coalesce(g.redirect_to, x.our_id) AS our_id,
               daterange(x.starts_on, x.ends_on) AS valid, x.recorded_at, x.superseded_at
        FROM unnest(asked) AS a (k)
        JOIN crosswalk x ON x.noun = split_part(a.k, ':', 1) AND x.connection_key = split_part(a.k, ':', 2)
            AND x.source_ref = substr(a.k, length(x.noun) + length(x.connection_key) + 3)
        LEFT JOIN person g ON g.person_id = x.our_id AND x.noun = 'person'
    ), moved AS MATERIALIZED (
        SELECT n.k, CASE WHEN n.noun = 'person' THEN n.our_id END AS person_id,
               CASE WHEN n.noun = 'project' THEN n.our_id END AS project_id, NULL::uuid AS task_id,
               NULL AS task_ref, NULL::boolean AS is_billable, NULL AS labor_category, NULL::uuid AS of_project_id,
               n.valid, n.recorded_at
        FROM named n WHERE n.superseded_at IS NULL
        UNION ALL
        SELECT n.k, NULL, NULL, t.task_id, x.source_ref, t.is_billable, NULL, NULL,
               daterange(x.starts_on, x.ends_on), greatest(x.recorded_at, t.recorded_at)
        FROM named n
        JOIN task t ON t.project_id = n.our_id
        JOIN crosswalk x ON x.our_id = t.task_id AND x.noun = 'task' AND x.connection_key = n.connection_key
        WHERE n.noun = 'project' AND x.superseded_at IS NULL
        UNION ALL
        SELECT n.k, NULL, NULL, NULL, NULL, NULL, a.labor_category, a.project_id, daterange(a.starts_on, a.ends_on),
               a.recorded_at
        FROM named n
        JOIN person g ON coalesce(g.redirect_to, g.person_id) = n.our_id
        JOIN assignment a ON a.person_id = g.person_id
        WHERE n.noun = 'person' AND a.superseded_at IS NULL
    )
    SELECT DISTINCT v.entry_id
    FROM (SELECT k, max(recorded_at) AS changed_at FROM moved GROUP BY k) c
    CROSS JOIN LATERAL (SELECT v.* FROM verdict v WHERE v.neighbor_keys @> ARRAY[c.k] AND v.known_at < c.changed_at
                        OFFSET 0) v
    CROSS JOIN LATERAL (SELECT FROM time_entry t WHERE t.entry_id = v.entry_id AND t.verdict_id = v.verdict_id
                        OFFSET 0) t
    CROSS JOIN LATERAL (SELECT w.* FROM time_entry_version w WHERE w.entry_id = v.entry_id AND w.version = v.version
                        OFFSET 0) w
    JOIN moved m ON m.k = c.k AND m.recorded_at > v.known_at AND m.valid @> v.work_date
    WHERE m.person_id <> v.person_id OR m.project_id <> v.project_id
       OR m.task_ref IN (w.project_ref || '/' || w.task_ref, w.task_ref)
          AND (m.task_id IS DISTINCT FROM v.task_id OR m.is_billable <> v.is_billable AND w.is_billable IS NULL)
       OR w.labor_category IS NULL AND m.of_project_id = v.project_id AND m.labor_category <> v.labor_category;
END $$;
REVOKE ALL ON FUNCTION moved_hours(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION moved_hours(text[]) TO tieline_worker;

-- Who approved is a key from now on, and what was missed until now is looked at once.
INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
SELECT 'release', 'upgrade', 'upgrade', max(known_at) FROM verdict HAVING max(known_at) IS NOT NULL;
