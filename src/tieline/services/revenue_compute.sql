-- Keep what each project came to by now. A row that says the same as before keeps the instant of its change and is true
-- up to now.
WITH {figures}, found AS (
    SELECT project_id, entity_code, contract_id, currency, recognition, contract_amount, earned, billed, seconds, wip,
           deferred, backlog, funded
    FROM figures
), same AS (
    UPDATE revenue_status r SET as_of = %(at)s
    FROM found f
    WHERE r.project_id = f.project_id AND r.is_newest
      AND (r.currency, r.contract_amount, r.earned_amount, r.wip_amount, r.billed_amount, r.deferred_amount,
           r.backlog_amount, r.posted_seconds, r.recognition, r.funded_amount)
          IS NOT DISTINCT FROM
          (f.currency, f.contract_amount, f.earned, f.wip, f.billed, f.deferred, f.backlog, f.seconds, f.recognition,
           f.funded)
    RETURNING r.project_id
), older AS (
    UPDATE revenue_status r SET is_newest = false
    FROM found f
    WHERE r.project_id = f.project_id AND r.is_newest AND r.changed_at < %(at)s
      AND NOT EXISTS (SELECT FROM same s WHERE s.project_id = r.project_id)
    RETURNING r.project_id
)
SELECT f.*, (SELECT count(*) FROM older) AS replaced FROM found f
WHERE NOT EXISTS (SELECT FROM same s WHERE s.project_id = f.project_id)
