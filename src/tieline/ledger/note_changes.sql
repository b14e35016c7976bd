-- What changed after it was posted: an hour whose newest verdict asks for something else than what stands, and one
-- that came for a closed period and has nothing there. Few hours are corrected or held: they are found first.
-- Written once per version and line; what is not done yet follows the policy and the state of period and invoice.
WITH changed AS MATERIALIZED (
    SELECT v.*
    FROM time_entry t
    {verdicts}
    WHERE v.version = t.newest_version AND v.outcome IN ('correct', 'held') AND {of_entries}
), told AS (
    SELECT c.entry_id, c.version, c.verdict_id, c.release_id, c.correlation_id, c.outcome, s.business_key AS standing_key,
           s.entity_code, s.period_id, s.project_id, sv.contract_id, s.all_seconds AS old_seconds, -- What nobody is billed for is worth nothing here; what has no price yet is not known.
           CASE WHEN sv.is_billable IS FALSE THEN 0 ELSE s.amount END AS old_amount,
           s.currency AS old_currency, sv.version AS old_version,
           c.entity_code AS new_entity_code, c.period_id AS new_period_id, c.project_id AS new_project_id,
           CASE WHEN x.is_leaving THEN 0 ELSE c.seconds END AS new_seconds,
           CASE WHEN x.is_leaving OR c.is_billable IS FALSE THEN 0 ELSE c.amount END AS new_amount,
           CASE WHEN x.is_leaving THEN s.currency ELSE c.currency END AS new_currency,
           w.is_deleted, w.approval, x.is_leaving,
           (c.entity_code, c.person_id, c.project_id, c.contract_id, c.task_id)
               IS DISTINCT FROM (sv.entity_code, sv.person_id, sv.project_id, sv.contract_id, sv.task_id) AS is_moved
    FROM changed c
    JOIN time_entry_version w ON w.entry_id = c.entry_id AND w.version = c.version
    LEFT JOIN LATERAL (
        -- Of a split hour both lines stand; it is named by the one that is billed.
        SELECT e.*, sum(e.seconds) OVER () AS all_seconds FROM (
            SELECT DISTINCT ON (e.part) e.* FROM effect e
            WHERE e.entry_id = c.entry_id AND e.noun = 'time_line' AND e.kind = 'book' AND e.state = 'CONFIRMED'
              AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                              AND u.state = 'CONFIRMED')
            ORDER BY e.part, e.effect_no DESC
        ) e
        ORDER BY e.part = 'capped' LIMIT 1
    ) s ON true
    LEFT JOIN verdict sv ON sv.verdict_id = s.verdict_id
    CROSS JOIN LATERAL (
        SELECT w.is_deleted OR w.approval = 'not_approved' OR (s.business_key IS NOT NULL AND c.seconds = 0
               AND c.posting_hash IS NULL) AS is_leaving
    ) x
    WHERE s.posting_hash IS DISTINCT FROM c.posting_hash
      AND (s.business_key IS NOT NULL OR EXISTS (
           SELECT FROM verdict_reason r
           WHERE r.verdict_id = c.verdict_id AND r.code = 'time.period_closed' AND r.severity = 'error'))
), placed AS (
    SELECT k.*, l.invoice_id,
           l.invoice_id IS NOT NULL OR EXISTS (
               SELECT FROM effect u WHERE u.undoes_key = k.standing_key AND u.kind = 'void' AND u.state = 'REJECTED'
                 AND u.reason = 'target.invoiced') AS is_invoiced,
           coalesce(o.state, 'open') = 'closed' OR (NOT k.is_leaving AND coalesce(n.state, 'open') = 'closed') AS is_closed
    FROM told k
    LEFT JOIN fiscal_period o ON o.period_id = k.period_id
    LEFT JOIN fiscal_period n ON n.period_id = k.new_period_id
    LEFT JOIN invoice_ledger_line l ON l.business_key = k.standing_key
), decided AS (
    SELECT p.*,
           CASE WHEN standing_key IS NULL THEN 'late'
                WHEN is_deleted THEN 'deleted'
                WHEN approval = 'not_approved' THEN 'revoked'
                WHEN is_leaving THEN 'left_out'
                WHEN is_moved THEN 'moved'
                WHEN version = old_version THEN 're_rated'
                ELSE 'edited' END AS kind,
           CASE WHEN is_invoiced THEN tieline.policy_word(release_id, 'change_of_invoiced', whose, 'credit_and_rebill')
                WHEN is_closed THEN tieline.policy_word(release_id, 'change_in_closed_period', whose, 'adjust')
                ELSE tieline.policy_word(release_id, 'change_in_open_period', whose, 'rebook') END AS way
    FROM (SELECT p.*, coalesce(entity_code, new_entity_code) AS whose FROM placed p) p
)
INSERT INTO posted_change AS x (entry_id, version, standing_key, verdict_id, kind, way, entity_code, period_id, project_id,
    contract_id, invoice_id, old_seconds, old_amount, old_currency, new_entity_code, new_period_id, new_project_id,
    new_seconds, new_amount, new_currency, found_at, correlation_id)
SELECT entry_id, version, standing_key, verdict_id, kind, way, entity_code, period_id, project_id, contract_id,
       invoice_id, coalesce(old_seconds, 0), old_amount, old_currency, new_entity_code, new_period_id, new_project_id,
       new_seconds, new_amount, new_currency, %(now)s, correlation_id
FROM decided
ON CONFLICT (entry_id, version, standing_key) DO UPDATE SET verdict_id = excluded.verdict_id, kind = excluded.kind,
    way = excluded.way, invoice_id = coalesce(excluded.invoice_id, x.invoice_id),
    new_entity_code = excluded.new_entity_code, new_period_id = excluded.new_period_id,
    new_project_id = excluded.new_project_id, new_seconds = excluded.new_seconds, new_amount = excluded.new_amount,
    new_currency = excluded.new_currency
WHERE (x.verdict_id, x.way) <> (excluded.verdict_id, excluded.way)
