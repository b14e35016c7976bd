-- What is looked at every two seconds must not read all that ever was.

-- Hours on an invoice that were changed afterwards: few, and told by a refused void or by a reason. Every hour was joined
-- with its effects and lines to find them.
CREATE OR REPLACE VIEW case_wanted_invoiced AS
WITH concerned AS MATERIALIZED (
    SELECT u.undoes_key AS business_key
    FROM unsettled_effect x
    JOIN effect u ON u.business_key = x.business_key
    WHERE x.state = 'REJECTED' AND u.kind = 'void' AND u.state = 'REJECTED' AND u.reason = 'target.invoiced'
    UNION
    SELECT e.business_key
    FROM verdict_reason r
    JOIN verdict v ON v.verdict_id = r.verdict_id AND v.outcome = 'held'
    JOIN time_entry t ON t.entry_id = v.entry_id AND t.verdict_id = v.verdict_id
    JOIN effect e ON e.entry_id = t.entry_id
    WHERE r.code = 'time.already_invoiced' AND r.severity = 'error'
), changed AS (
    SELECT t.entry_id, v.entity_code, v.correlation_id, l.business_key, l.seconds, l.amount, l.currency,
           CASE WHEN w.is_deleted OR w.approval = 'not_approved' THEN 0 ELSE coalesce(v.amount, 0) END AS new_amount,
           e.target_connection || ':' || coalesce(i.target_code, 'invoice of line ' || e.target_code) AS thing_key,
           coalesce(i.number, i.target_code, '') AS number, e.deadline_at
    FROM concerned c
    CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.business_key = c.business_key OFFSET 0) e
    CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = e.entry_id OFFSET 0) t
    CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = t.verdict_id OFFSET 0) v
    CROSS JOIN LATERAL (SELECT * FROM time_entry_version w WHERE w.entry_id = t.entry_id AND w.is_newest OFFSET 0) w
    CROSS JOIN LATERAL (SELECT * FROM ledger_line l WHERE l.business_key = e.business_key OFFSET 0) l
    LEFT JOIN invoice_ledger_line k ON k.business_key = e.business_key
    LEFT JOIN invoice_record i USING (invoice_id)
    WHERE e.noun = 'time_line' AND e.kind = 'book' AND e.state = 'CONFIRMED'
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

-- One index holds both: that a line stands once, and where the line of an effect is.
ALTER TABLE ledger_line DROP CONSTRAINT ledger_line_booked_month_business_key_key;
DROP INDEX ledger_line_effect;
ALTER TABLE ledger_line ADD CONSTRAINT ledger_line_effect UNIQUE (business_key, booked_month);
