-- What changed after it was posted, what people agreed to do about it, and which bills were credited since.

-- Under which day the target books a line, where that is not the day of the work: its period is closed.
ALTER TABLE effect ADD COLUMN books_on date;

-- A version of an hour, the line that stood when it came, and what the difference is worth. ``way`` follows the
-- policy and the state of period and invoice for as long as nothing is done about it.
CREATE TABLE posted_change (
    change_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entry_id      uuid NOT NULL REFERENCES time_entry,
    version       integer NOT NULL,
    standing_key  uuid REFERENCES effect,
    verdict_id    bigint NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('edited', 'moved', 're_rated', 'revoked', 'deleted', 'left_out', 'late')),
    way           text NOT NULL CHECK (way IN ('rebook', 'ask', 'adjust', 'reopen', 'credit_and_rebill', 'hold')),
    entity_code   text REFERENCES legal_entity,
    period_id     uuid REFERENCES fiscal_period,
    project_id    uuid,
    contract_id   uuid,
    invoice_id    uuid REFERENCES invoice_record,
    old_seconds   integer NOT NULL,
    old_amount    numeric,
    old_currency  text,
    new_entity_code text REFERENCES legal_entity,
    new_period_id uuid REFERENCES fiscal_period,
    new_project_id uuid,
    new_seconds   integer NOT NULL,
    new_amount    numeric,
    new_currency  text,
    found_at      timestamptz NOT NULL,
    correlation_id text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (entry_id, version, standing_key),
    CHECK ((kind = 'late') = (standing_key IS NULL))
);
CREATE INDEX posted_change_found ON posted_change (found_at);
CREATE INDEX posted_change_standing ON posted_change (standing_key);

-- What was agreed for one version of an hour: where what stands is taken back, and where it is booked anew; empty
-- where its own period takes it. Two people, where money moves.
CREATE TABLE adjustment (
    adjustment_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    change_id     uuid NOT NULL REFERENCES posted_change,
    entry_id      uuid NOT NULL REFERENCES time_entry,
    version       integer NOT NULL,
    entity_code   text REFERENCES legal_entity,
    reversal_period_id uuid REFERENCES fiscal_period,
    booking_period_id uuid REFERENCES fiscal_period,
    moves_money   boolean NOT NULL,
    proposed_by   text NOT NULL,
    approved_by   text NOT NULL,
    reason        text NOT NULL CHECK (reason <> ''),
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    CHECK (NOT moves_money OR lower(proposed_by) <> lower(approved_by))
);
CREATE UNIQUE INDEX adjustment_one_now ON adjustment (entry_id, version) WHERE superseded_at IS NULL;
CREATE INDEX adjustment_change ON adjustment (change_id);

-- What an invoice should give back and bill anew because an hour on it was changed. It is never sent: people make the
-- credit note in the ERP and say so here, and a second one agrees.
CREATE TABLE credit_proposal (
    change_id     uuid PRIMARY KEY REFERENCES posted_change,
    entry_id      uuid NOT NULL REFERENCES time_entry,
    business_key  uuid NOT NULL REFERENCES effect,
    entity_code   text REFERENCES legal_entity,
    contract_id   uuid,
    invoice_id    uuid REFERENCES invoice_record,
    credit_amount numeric,
    credit_currency text,
    rebill_amount numeric,
    rebill_currency text,
    state         text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'credited', 'withdrawn')),
    made_at       timestamptz NOT NULL,
    ended_at      timestamptz,
    credit_number text,
    CHECK ((state = 'proposed') = (ended_at IS NULL)),
    CHECK ((state = 'credited') = (credit_number IS NOT NULL))
);
CREATE UNIQUE INDEX credit_proposal_one_open ON credit_proposal (business_key) WHERE state = 'proposed';

-- A line that an invoice took and gave back by a credit note.
CREATE TABLE invoice_line_credited (
    business_key  uuid NOT NULL,
    invoice_id    uuid NOT NULL REFERENCES invoice_record,
    credit_number text NOT NULL,
    proposed_by   text NOT NULL,
    approved_by   text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (business_key, invoice_id),
    CHECK (lower(proposed_by) <> lower(approved_by))
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['posted_change', 'adjustment', 'credit_proposal', 'invoice_line_credited'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY worker_sees_all ON %I TO tieline_worker, CURRENT_USER'
                       ' USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY judge_reads_all ON %I FOR SELECT TO tieline_judge USING (true)', name);
    END LOOP;
END $$;
-- A move between entities is seen by both of them.
CREATE POLICY web_sees_its_entities ON posted_change TO tieline_web
    USING (visible_entity(entity_code) OR visible_entity(new_entity_code)
           OR (page_sees(entity_code) AND page_sees(new_entity_code)));
CREATE POLICY web_sees_its_entities ON adjustment TO tieline_web USING (page_sees(entity_code));
CREATE POLICY web_sees_its_entities ON credit_proposal TO tieline_web USING (page_sees(entity_code));
CREATE POLICY web_sees_its_invoices ON invoice_line_credited TO tieline_web
    USING (EXISTS (SELECT FROM invoice_record i WHERE i.invoice_id = invoice_line_credited.invoice_id));
GRANT SELECT, INSERT, UPDATE ON posted_change, adjustment, credit_proposal TO tieline_worker;
GRANT SELECT ON invoice_line_credited TO tieline_worker;
GRANT SELECT ON posted_change, adjustment, credit_proposal, invoice_line_credited TO tieline_web, tieline_judge;

-- What the firm decided under a name, for one legal entity or for all of them.
CREATE FUNCTION policy_word(release integer, word text, whose text, otherwise text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT coalesce((SELECT v.value FROM policy_value v
                     WHERE v.release_id = release AND v.name = word AND v.entity_code IN ('', coalesce(whose, ''))
                     ORDER BY v.entity_code DESC LIMIT 1), otherwise)
$$;

-- An invoice gives a line back: it may be corrected from now on, and billed anew.
CREATE FUNCTION credit_line(changed uuid, number text, asked_by text, agreed_by text, at timestamptz) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    found credit_proposal;
    taken_from uuid;
BEGIN
    SELECT * INTO found FROM credit_proposal c WHERE c.change_id = changed AND c.state = 'proposed' FOR UPDATE;
    IF found.change_id IS NULL OR (session_user = 'tieline_web' AND NOT visible_entity(found.entity_code)) THEN
        RAISE EXCEPTION 'no credit is proposed for change %', changed USING ERRCODE = 'no_data_found';
    END IF;
    DELETE FROM invoice_ledger_line l WHERE l.business_key = found.business_key RETURNING l.invoice_id INTO taken_from;
    IF taken_from IS NOT NULL THEN
        INSERT INTO invoice_line_credited (business_key, invoice_id, credit_number, proposed_by, approved_by, recorded_at)
        VALUES (found.business_key, taken_from, number, asked_by, agreed_by, at);
    END IF;
    UPDATE credit_proposal SET state = 'credited', ended_at = at, credit_number = number WHERE change_id = changed;
    RETURN found.entry_id;
END $$;

-- What was agreed is written by the approval of a second person, whoever's door it comes through.
CREATE FUNCTION agree_on_change(changed uuid, reversal uuid, booking uuid, has_money boolean, asked_by text,
                                agreed_by text, why text, at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    found posted_change;
BEGIN
    SELECT * INTO found FROM posted_change c WHERE c.change_id = changed;
    IF found.change_id IS NULL OR (session_user = 'tieline_web'
            AND NOT visible_entity(coalesce(found.entity_code, found.new_entity_code))) THEN
        RAISE EXCEPTION 'there is no change %', changed USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE adjustment SET superseded_at = greatest(at, recorded_at)
    WHERE (entry_id, version) = (found.entry_id, found.version) AND superseded_at IS NULL;
    INSERT INTO adjustment (change_id, entry_id, version, entity_code, reversal_period_id, booking_period_id,
        moves_money, proposed_by, approved_by, reason, recorded_at)
    VALUES (changed, found.entry_id, found.version, coalesce(found.entity_code, found.new_entity_code), reversal,
        booking, has_money, asked_by, agreed_by, why, at);
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    VALUES ('entry:' || found.entry_id, 'change.agreed', found.correlation_id, at);
END $$;
CREATE FUNCTION mark_credited(changed uuid, at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT 'entry:' || c.entry_id, 'change.credited', c.correlation_id, at FROM posted_change c
    WHERE c.change_id = changed
$$;
REVOKE ALL ON FUNCTION credit_line(uuid, text, text, text, timestamptz), mark_credited(uuid, timestamptz),
    agree_on_change(uuid, uuid, uuid, boolean, text, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION credit_line(uuid, text, text, text, timestamptz), mark_credited(uuid, timestamptz),
    agree_on_change(uuid, uuid, uuid, boolean, text, text, text, timestamptz) TO tieline_web, tieline_worker;

-- ---------------------------------------------------------------- what people see of it
-- How far each change is: told from what stands now, so that it cannot say otherwise than the books.
CREATE VIEW change_state AS
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
LEFT JOIN effect u ON u.undoes_key = c.standing_key AND u.kind = 'void' AND u.state <> 'WITHDRAWN'
CROSS JOIN LATERAL (
    SELECT (c.kind = 'late' OR u.state IS NOT DISTINCT FROM 'CONFIRMED')
           AND (c.new_seconds = 0 OR EXISTS (
               SELECT FROM effect n WHERE n.entry_id = c.entry_id AND n.entry_version = c.version AND n.kind = 'book'
                 AND n.noun = 'time_line' AND n.state = 'CONFIRMED' AND n.business_key IS DISTINCT FROM c.standing_key))
               AS is_done,
           t.newest_version = c.version AND v.version = c.version
           AND (v.outcome IN ('correct', 'held') OR c.kind = 'late' AND v.outcome = 'cleared') AS is_current
) d;

CREATE FUNCTION page_changes(asked uuid[], entity text, period text, asked_state text, asked_kind text, shown_max integer,
                             skipped integer)
RETURNS TABLE (change_id uuid, kind text, way text, state text, found_at timestamptz, connection_key text, object text,
    source_ref text, entry_id uuid, version integer, entity_code text, period_code text, period_id uuid, project_code text,
    old_seconds integer, old_amount numeric, old_currency text, new_entity_code text, new_period_code text,
    new_period_id uuid, new_project_code text, new_seconds integer, new_amount numeric, new_currency text,
    old_work_date date, new_work_date date, person_ref text, approver_ref text, changed_at timestamptz,
    invoice_number text, target_connection text, agreed_by text, booked_into text, total bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT c.change_id, c.kind, c.way, c.state, c.found_at, c.connection_key, c.object, c.source_ref, c.entry_id, c.version,
           c.entity_code, p.period_code, c.period_id, j.project_code, c.old_seconds, c.old_amount, c.old_currency,
           c.new_entity_code, n.period_code, c.new_period_id, k.project_code, c.new_seconds, c.new_amount, c.new_currency,
           o.work_date, w.work_date, w.person_ref, w.approver_ref, coalesce(w.source_at, w.recorded_at),
           i.number, c.target_connection, a.approved_by, coalesce(ap.period_code, rp.period_code),
           count(*) OVER ()
    FROM change_state c
    JOIN time_entry_version w ON w.entry_id = c.entry_id AND w.version = c.version
    LEFT JOIN effect e ON e.business_key = c.standing_key
    LEFT JOIN verdict o ON o.verdict_id = e.verdict_id
    LEFT JOIN fiscal_period p ON p.period_id = c.period_id
    LEFT JOIN fiscal_period n ON n.period_id = c.new_period_id
    LEFT JOIN project j ON j.project_id = c.project_id
    LEFT JOIN project k ON k.project_id = c.new_project_id
    LEFT JOIN invoice_record i ON i.invoice_id = c.invoice_id
    LEFT JOIN adjustment a ON a.change_id = c.change_id AND a.superseded_at IS NULL
    LEFT JOIN fiscal_period ap ON ap.period_id = a.booking_period_id
    LEFT JOIN fiscal_period rp ON rp.period_id = a.reversal_period_id
    WHERE (session_user <> 'tieline_web' OR visible_entity(c.entity_code) OR visible_entity(c.new_entity_code))
      AND (asked IS NULL OR c.change_id = ANY (asked))
      AND (entity IS NULL OR entity IN (c.entity_code, c.new_entity_code))
      AND (period IS NULL OR coalesce(p.period_code, n.period_code) = period)
      AND (asked_kind IS NULL OR c.kind = asked_kind)
      AND (asked_state IS NULL OR c.state = asked_state
           OR asked_state = 'open' AND c.state NOT IN ('corrected', 'overtaken'))
    ORDER BY c.found_at DESC, c.change_id LIMIT shown_max OFFSET skipped
$$;

-- Net money per legal entity, period and currency: what changes give less what they take. Currencies are never added.
CREATE FUNCTION page_change_sums()
RETURNS TABLE (entity_code text, period_code text, period_state text, currency text, state text, changes bigint,
    seconds bigint, amount numeric, unpriced bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT x.entity_code, p.period_code, p.state, x.currency, x.state, count(DISTINCT x.change_id), sum(x.seconds)::bigint,
           sum(x.amount), count(*) FILTER (WHERE x.amount IS NULL)
    FROM (
        SELECT c.change_id, c.state, c.entity_code, c.period_id, c.old_currency AS currency, -c.old_seconds AS seconds,
               -c.old_amount AS amount FROM change_state c WHERE c.standing_key IS NOT NULL
        UNION ALL
        SELECT c.change_id, c.state, coalesce(c.new_entity_code, c.entity_code), coalesce(c.new_period_id, c.period_id),
               coalesce(c.new_currency, c.old_currency), c.new_seconds, CASE WHEN c.new_seconds = 0 THEN 0 ELSE c.new_amount END
        FROM change_state c
    ) x
    LEFT JOIN fiscal_period p ON p.period_id = x.period_id
    WHERE x.state <> 'overtaken' AND (session_user <> 'tieline_web' OR visible_entity(x.entity_code))
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 2 DESC NULLS LAST, 1, 4, 5
$$;

-- Credit and rebill, per invoice and currency, each with its case.
CREATE FUNCTION page_credits()
RETURNS TABLE (invoice_id uuid, invoice_number text, entity_code text, contract_code text, state text, credit_amount numeric,
    credit_currency text, rebill_amount numeric, rebill_currency text, hours bigint, change_ids uuid[], case_id uuid,
    credit_number text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT c.invoice_id, i.number, c.entity_code, k.contract_code, c.state, sum(c.credit_amount), c.credit_currency,
           sum(c.rebill_amount), c.rebill_currency, count(*), array_agg(c.change_id ORDER BY c.made_at, c.change_id),
           (SELECT m.case_id FROM case_member m JOIN case_file f USING (case_id)
            WHERE m.entry_id = ANY (array_agg(c.entry_id)) AND f.reason = 'posted.invoiced'
            ORDER BY f.opened_at DESC LIMIT 1), c.credit_number
    FROM credit_proposal c
    LEFT JOIN invoice_record i ON i.invoice_id = c.invoice_id
    LEFT JOIN contract k ON k.contract_id = c.contract_id
    WHERE session_user <> 'tieline_web' OR visible_entity(c.entity_code)
    GROUP BY c.invoice_id, i.number, c.entity_code, k.contract_code, c.state, c.credit_currency, c.rebill_currency,
             c.credit_number
    ORDER BY (c.state = 'proposed') DESC, i.number, c.credit_currency
$$;
REVOKE ALL ON FUNCTION page_changes(uuid[], text, text, text, text, integer, integer), page_change_sums(), page_credits()
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_changes(uuid[], text, text, text, text, integer, integer), page_change_sums(),
    page_credits() TO tieline_web, tieline_worker, tieline_judge;
GRANT SELECT ON change_state TO tieline_worker;
