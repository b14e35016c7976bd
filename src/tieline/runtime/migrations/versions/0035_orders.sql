-- Which of a client's orders pays for a task on a day, as known now: that of the task before that of the contract.
-- NULL where there is none, or where it is not clear which.
CREATE FUNCTION order_of(of_contract_id uuid, of_task_name text, on_day date) RETURNS text
LANGUAGE sql STABLE SET search_path = tieline, pg_temp AS $$
    SELECT order_number FROM (
        SELECT o.task_name <> of_task_name AS is_wide, count(*) AS orders, min(o.order_number) AS order_number
        FROM purchase_order o
        WHERE o.contract_id = of_contract_id AND o.task_name IN (of_task_name, '') AND o.superseded_at IS NULL
          AND daterange(o.starts_on, o.ends_on) @> on_day
        GROUP BY 1 ORDER BY 1 LIMIT 1
    ) best WHERE orders = 1
$$;
GRANT EXECUTE ON FUNCTION order_of(uuid, text, date) TO tieline_worker, tieline_judge;
ALTER TABLE invoice_record ADD COLUMN order_number text;

-- What one company of the firm owes another for an hour in the ledger. The product writes no second leg: this is what
-- it should be, with the state of the home company's period.
CREATE VIEW expected_leg AS
SELECT l.line_id, l.entry_id, l.business_key, 'leg:' || v.home_entity_code AS part, v.home_entity_code,
       l.entity_code AS project_entity_code, l.project_id, l.work_date, l.seconds, t.transfer_price_id,
       t.currency, round(l.seconds * t.price_amount / 3600, currency_digits(t.currency)) AS amount,
       p.period_code AS project_period_code, coalesce(ps.state, p.state) AS project_period_state,
       h.period_code AS home_period_code, coalesce(hs.state, h.state) AS home_period_state
FROM ledger_line l
JOIN effect e ON e.business_key = l.business_key
JOIN verdict v ON v.verdict_id = e.verdict_id AND v.home_entity_code <> l.entity_code
JOIN fiscal_period p ON p.period_id = l.period_id
LEFT JOIN fiscal_period_state ps ON ps.period_id = p.period_id AND ps.superseded_at IS NULL
LEFT JOIN fiscal_period h ON h.entity_code = v.home_entity_code AND l.work_date >= h.starts_on AND l.work_date < h.ends_on
LEFT JOIN fiscal_period_state hs ON hs.period_id = h.period_id AND hs.superseded_at IS NULL
LEFT JOIN LATERAL (
    SELECT * FROM transfer_price t
    WHERE t.home_entity_code = v.home_entity_code AND t.project_entity_code = l.entity_code
      AND t.labor_category IN (l.labor_category, '') AND daterange(t.starts_on, t.ends_on) @> l.work_date
      AND t.superseded_at IS NULL
    ORDER BY t.labor_category = '' LIMIT 1
) t ON true;
GRANT SELECT ON expected_leg TO tieline_worker, tieline_judge;
