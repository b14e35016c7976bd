-- Per project: what was earned, what of it is billed, what waits to be billed, what is still sold and undone.
-- Hours earn their rate; a fixed fee is earned by the share of its sold hours that was posted.
-- A row that says the same as before keeps the instant of its change and is true up to now.
WITH posted AS (
    SELECT l.project_id, sum(l.seconds)::bigint AS seconds,
           coalesce(sum(l.amount) FILTER (WHERE l.is_billable), 0) AS worked,
           coalesce(sum(l.amount) FILTER (WHERE l.is_billable AND i.business_key IS NULL), 0) AS unbilled
    FROM ledger_line l LEFT JOIN invoice_ledger_line i USING (business_key)
    GROUP BY l.project_id
), billed AS (
    SELECT project_id, sum(untaxed_amount) AS amount FROM invoice_record GROUP BY project_id
), sold AS (
    SELECT contract_id, sum(sold_seconds * rate_amount / 3600) AS amount, sum(sold_seconds) AS seconds
    FROM contract_line WHERE superseded_at IS NULL GROUP BY contract_id
), siblings AS (
    SELECT contract_id, count(*) AS projects FROM project GROUP BY contract_id
), measured AS (
    SELECT j.project_id, j.entity_code, j.contract_id, v.currency, v.billing_method,
           CASE WHEN s.projects = 1 THEN round(coalesce(v.cap_amount, v.value_amount, o.amount), 2) END
               AS contract_amount,
           coalesce(p.seconds, 0) AS seconds, coalesce(p.worked, 0) AS worked,
           coalesce(p.unbilled, 0) AS unbilled, coalesce(b.amount, 0) AS billed, o.seconds AS sold_seconds,
           v.value_amount
    FROM project j
    JOIN contract_version v ON v.contract_id = j.contract_id AND v.superseded_at IS NULL
    JOIN siblings s ON s.contract_id = j.contract_id
    LEFT JOIN sold o ON o.contract_id = j.contract_id
    LEFT JOIN posted p ON p.project_id = j.project_id
    LEFT JOIN billed b ON b.project_id = j.project_id
), earned AS (
    SELECT m.*, CASE
        WHEN billing_method <> 'fixed_fee' OR value_amount IS NULL THEN worked
        WHEN coalesce(sold_seconds, 0) > 0
            THEN round(value_amount * least(seconds::numeric / sold_seconds, 1), 2)
        ELSE least(worked, value_amount) END AS earned
    FROM measured m
), found AS (
    SELECT project_id, entity_code, contract_id, currency, contract_amount, earned, billed, seconds,
           CASE WHEN billing_method = 'fixed_fee' THEN greatest(earned - billed, 0) ELSE unbilled END AS wip,
           CASE WHEN billing_method = 'fixed_fee' THEN greatest(billed - earned, 0) ELSE 0 END AS deferred,
           greatest(contract_amount - earned, 0) AS backlog
    FROM earned
), same AS (
    UPDATE revenue_status r SET as_of = %(now)s
    FROM found f
    WHERE r.project_id = f.project_id AND r.is_newest
      AND (r.currency, r.contract_amount, r.earned_amount, r.wip_amount, r.billed_amount, r.deferred_amount,
           r.backlog_amount, r.posted_seconds)
          IS NOT DISTINCT FROM
          (f.currency, f.contract_amount, f.earned, f.wip, f.billed, f.deferred, f.backlog, f.seconds)
    RETURNING r.project_id
), older AS (
    UPDATE revenue_status r SET is_newest = false
    FROM found f
    WHERE r.project_id = f.project_id AND r.is_newest AND r.changed_at < %(now)s
      AND NOT EXISTS (SELECT FROM same s WHERE s.project_id = r.project_id)
    RETURNING r.project_id
)
SELECT f.*, (SELECT count(*) FROM older) AS replaced FROM found f
WHERE NOT EXISTS (SELECT FROM same s WHERE s.project_id = f.project_id)
