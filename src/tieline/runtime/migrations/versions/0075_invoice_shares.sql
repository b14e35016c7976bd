-- What each client pays of a contract that is split: drawn once while the contract is released, and never drawn again
-- while an invoice of it stands. ``drawing_id`` holds those together that make one whole.
CREATE TABLE invoice_share (
    business_key  uuid PRIMARY KEY REFERENCES effect,
    drawing_id    uuid NOT NULL,
    lock_id       uuid NOT NULL REFERENCES release_lock,
    contract_id   uuid NOT NULL REFERENCES contract,
    period_id     uuid NOT NULL REFERENCES fiscal_period,
    entity_code   text NOT NULL REFERENCES legal_entity,
    document      text NOT NULL,
    part          text NOT NULL,
    client_id     uuid NOT NULL REFERENCES client,
    client_code   text NOT NULL CHECK (client_code <> ''),
    percent       numeric NOT NULL CHECK (percent > 0 AND percent <= 100),
    takes_rounding boolean NOT NULL,
    amount        numeric NOT NULL,
    currency      text NOT NULL,
    items         text NOT NULL,
    drawn_at      timestamptz NOT NULL,
    UNIQUE (lock_id, part)
);
CREATE INDEX invoice_share_drawing ON invoice_share (drawing_id);
CREATE INDEX invoice_share_contract ON invoice_share (contract_id, period_id);
ALTER TABLE invoice_share ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoice_share FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON invoice_share TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON invoice_share FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_entities ON invoice_share FOR SELECT TO tieline_web USING (visible_entity(entity_code));
REVOKE ALL ON invoice_share FROM tieline_worker, tieline_web, tieline_judge;
GRANT SELECT, INSERT ON invoice_share TO tieline_worker;
GRANT SELECT ON invoice_share TO tieline_web, tieline_judge;

-- A release that is taken back takes its shares back, unless an invoice of one of them stands or may stand. A sale
-- without an invoice may stand under a key that was tried: under it the next attempt takes its place.
CREATE FUNCTION take_back_shares(of_contract uuid, of_period uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM release_lock k WHERE (k.contract_id, k.period_id) = (of_contract, of_period)
               AND (k.unlocked_at IS NULL OR (session_user = 'tieline_web' AND NOT visible_entity(k.entity_code)))) THEN
        RAISE EXCEPTION 'the release of contract % was not taken back', of_contract USING ERRCODE = 'no_data_found';
    END IF;
    IF EXISTS (SELECT FROM invoice_share s JOIN effect e USING (business_key)
               WHERE (s.contract_id, s.period_id) = (of_contract, of_period)
                 AND e.state NOT IN ('PLANNED', 'REJECTED', 'ABSENT', 'WITHDRAWN')) THEN
        RETURN false;
    END IF;
    UPDATE effect e SET state = 'WITHDRAWN' FROM invoice_share s
    WHERE s.business_key = e.business_key AND (s.contract_id, s.period_id) = (of_contract, of_period)
      AND e.state = 'PLANNED' AND e.attempt = 0;
    DELETE FROM invoice_share s WHERE (s.contract_id, s.period_id) = (of_contract, of_period);
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION take_back_shares(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_back_shares(uuid, uuid) TO tieline_worker, tieline_web;

-- An invoice of our ledger's amounts takes hours that the target does not mark as invoiced.
ALTER TABLE invoice_record ADD COLUMN is_from_ledger boolean NOT NULL DEFAULT false;

-- What each client is to pay, as it was last computed: ids, percents and amounts.
ALTER TABLE readiness ADD COLUMN shares jsonb NOT NULL DEFAULT '[]';

-- Invoices that make one whole, each with itself: hours and parts stand with the first of them.
CREATE VIEW invoice_together WITH (security_invoker = true) AS
SELECT i.invoice_id, i.invoice_id AS together_id FROM invoice_record i
UNION ALL
SELECT i.invoice_id, r.invoice_id
FROM invoice_record i
JOIN invoice_share s ON s.business_key = i.business_key
JOIN invoice_share o ON o.drawing_id = s.drawing_id AND o.business_key <> s.business_key
JOIN invoice_record r ON r.business_key = o.business_key;
GRANT SELECT ON invoice_together TO tieline_worker, tieline_web, tieline_judge;

-- What each client pays of a contract in a period, by name, with the invoices that it has of it; in sight of the caller.
CREATE FUNCTION page_shares(of_contract uuid, of_period uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'client_id', e.client_id, 'client_name', coalesce(n.name, ''), 'percent', e.percent,
               'takes_rounding', e.takes_rounding, 'amount', e.amount, 'currency', q.currency,
               'invoices', coalesce(i.invoices, '[]')) ORDER BY e.percent::numeric DESC, n.name, e.client_id), '[]')
    FROM readiness q
    CROSS JOIN LATERAL jsonb_to_recordset(q.shares)
        AS e (client_id uuid, percent text, takes_rounding boolean, amount text)
    JOIN client c ON c.client_id = e.client_id
    LEFT JOIN client_version n ON n.client_id = coalesce(c.redirect_to, c.client_id) AND n.superseded_at IS NULL
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('invoice_id', r.invoice_id, 'target_code', r.target_code, 'number', r.number,
                   'state', r.state, 'amount', r.untaxed_amount::text) ORDER BY r.recorded_at, r.target_code) AS invoices
        FROM invoice_share s JOIN invoice_record r USING (business_key)
        WHERE (s.contract_id, s.period_id, s.client_id) = (q.contract_id, q.period_id, e.client_id)
    ) i ON true
    WHERE (q.contract_id, q.period_id) = (of_contract, of_period)
      AND (session_user <> 'tieline_web' OR visible_entity(q.entity_code))
$$;
REVOKE ALL ON FUNCTION page_shares(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_shares(uuid, uuid) TO tieline_worker, tieline_web, tieline_judge;

-- What an invoice should give back names every invoice of the whole that the hour was billed with.
CREATE OR REPLACE FUNCTION page_credits()
RETURNS TABLE (invoice_id uuid, invoice_number text, entity_code text, contract_code text, state text, credit_amount numeric,
    credit_currency text, rebill_amount numeric, rebill_currency text, hours bigint, change_ids uuid[], case_id uuid,
    credit_number text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT c.invoice_id, i.numbers, c.entity_code, k.contract_code, c.state, sum(c.credit_amount), c.credit_currency,
           sum(c.rebill_amount), c.rebill_currency, count(*), array_agg(c.change_id ORDER BY c.made_at, c.change_id),
           (SELECT m.case_id FROM case_member m JOIN case_file f USING (case_id)
            WHERE m.entry_id = ANY (array_agg(c.entry_id)) AND f.reason = 'posted.invoiced'
            ORDER BY f.opened_at DESC LIMIT 1), c.credit_number
    FROM credit_proposal c
    LEFT JOIN LATERAL (
        SELECT CASE WHEN count(*) = 1 THEN min(r.number) ELSE
                   string_agg(coalesce(nullif(r.number, ''), r.target_code), ', ' ORDER BY r.recorded_at, r.target_code)
               END AS numbers
        FROM invoice_together t JOIN invoice_record r ON r.invoice_id = t.together_id
        WHERE t.invoice_id = c.invoice_id
    ) i ON true
    LEFT JOIN contract k ON k.contract_id = c.contract_id
    WHERE session_user <> 'tieline_web' OR visible_entity(c.entity_code)
    GROUP BY c.invoice_id, i.numbers, c.entity_code, k.contract_code, c.state, c.credit_currency, c.rebill_currency,
             c.credit_number
    ORDER BY (c.state = 'proposed') DESC, i.numbers, c.credit_currency
$$;
