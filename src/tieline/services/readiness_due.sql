-- What schedules say is to be billed by the end of each open period and no invoice took: one row per contract, period
-- and part. A milestone is due once it is confirmed; a fee may be shortened to the days of the contract that it covers;
-- hours above those that a part includes are its overage, the last of its days first, at the rate they were booked at.
WITH terms AS (
    SELECT c.contract_id, c.contract_code, c.entity_code, v.starts_on, v.ends_on, currency_digits(v.currency) AS digits,
           timezone(l.zone, %(now)s::timestamptz)::date AS today
    FROM contract c
    JOIN contract_version v ON v.contract_id = c.contract_id AND v.superseded_at IS NULL
    JOIN legal_entity l ON l.entity_code = c.entity_code
    WHERE v.billing_method = ANY (%(methods)s::text[])
      AND (%(contract_ids)s::uuid[] IS NULL OR c.contract_id = ANY (%(contract_ids)s::uuid[]))
), part AS (
    SELECT t.contract_id, t.entity_code, t.today, t.digits, s.item, s.kind, s.due_on, s.currency, s.covers_from,
           s.covers_until, s.included_hours * 3600 AS included_seconds,
           s.kind <> 'milestone' OR coalesce(s.confirmed_on <= t.today, false) AS is_due,
           CASE WHEN s.is_prorated THEN round(s.amount
               * greatest(least(t.ends_on, s.covers_until) - greatest(t.starts_on, s.covers_from), 0)
               / (s.covers_until - s.covers_from), t.digits) ELSE s.amount END AS amount
    FROM terms t
    JOIN billing_schedule s ON s.contract_code = t.contract_code AND s.superseded_at IS NULL
         AND daterange(s.starts_on, s.ends_on) @> t.today
), worked AS (
    SELECT p.contract_id, p.item, l.entry_id, l.rate_amount, min(l.work_date) AS work_date, sum(l.seconds) AS seconds
    FROM part p
    JOIN ledger_line l ON l.contract_id = p.contract_id AND l.is_billable
         AND l.work_date >= p.covers_from AND l.work_date < p.covers_until
    WHERE p.included_seconds IS NOT NULL AND p.covers_until <= p.today
    GROUP BY p.contract_id, p.item, l.entry_id, l.rate_amount HAVING sum(l.seconds) <> 0
), drawn AS (
    SELECT w.*, sum(w.seconds) OVER (PARTITION BY w.contract_id, w.item ORDER BY w.work_date, w.entry_id, w.rate_amount)
           AS seconds_until FROM worked w
), over AS (
    SELECT p.contract_id, p.item, sum(least(d.seconds, d.seconds_until - p.included_seconds)) AS seconds,
           sum(least(d.seconds, d.seconds_until - p.included_seconds)) FILTER (WHERE d.rate_amount IS NULL) AS unpriced,
           round(sum(least(d.seconds, d.seconds_until - p.included_seconds) * coalesce(d.rate_amount, 0) / 3600), p.digits)
               AS amount
    FROM part p JOIN drawn d USING (contract_id, item)
    WHERE d.seconds_until > p.included_seconds
    GROUP BY p.contract_id, p.item, p.digits
), billed AS (
    -- Hours that came after their overage was billed are one more of it: what was billed is taken off.
    SELECT contract_id, item, count(*) AS times, sum(amount) AS amount
    FROM billed_item WHERE item_code <> item GROUP BY contract_id, item
), due AS (
    SELECT contract_id, entity_code, today, item AS item_code, item, kind, due_on, amount, currency, is_due,
           0 AS seconds, 0 AS unpriced_seconds
    FROM part
    UNION ALL
    SELECT p.contract_id, p.entity_code, p.today, p.item || '|overage|' || coalesce(b.times, 0) + 1, p.item, 'overage',
           p.covers_until - 1, o.amount - coalesce(b.amount, 0), p.currency, true,
           CASE WHEN b.times IS NULL THEN o.seconds ELSE 0 END, coalesce(o.unpriced, 0)
    FROM part p
    JOIN over o USING (contract_id, item)
    LEFT JOIN billed b USING (contract_id, item)
    WHERE o.amount > coalesce(b.amount, 0) OR o.unpriced > 0
)
SELECT d.contract_id, f.period_id, d.item_code, d.item, d.kind, d.due_on, d.amount, d.currency, d.is_due,
       d.seconds::bigint AS seconds, d.unpriced_seconds::bigint AS unpriced_seconds
FROM due d
JOIN fiscal_period f ON f.entity_code = d.entity_code AND d.due_on < f.ends_on AND f.starts_on <= d.today
WHERE NOT EXISTS (SELECT FROM billed_item b WHERE (b.contract_id, b.item_code) = (d.contract_id, d.item_code))
  AND (%(period_id)s::uuid IS NULL OR f.period_id = %(period_id)s)
ORDER BY d.contract_id, f.period_id, d.due_on, d.item_code
