-- A new verdict only where it differs from the one that stands. Where it is judged together with others than before,
-- though its source says the same, those whom it joins and those whom it leaves are looked at as well.
CREATE TEMP TABLE new_verdict ON COMMIT DROP AS
WITH {decide}
SELECT d.entry_id, d.version, d.outcome, d.reasons, d.person_id, d.project_id, d.task_id, d.contract_id,
       d.contract_line_id, d.client_id,
       CASE WHEN d.is_leaving THEN d.standing_entity_code ELSE d.entity_code END AS entity_code,
       d.home_entity_code, CASE WHEN d.is_leaving THEN d.standing_period_id ELSE d.period_id END AS period_id,
       d.labor_category, d.work_date, CASE WHEN d.is_leaving THEN 0 ELSE d.seconds END AS seconds,
       d.is_billable, d.rate_amount, d.currency, CASE WHEN d.is_leaving THEN 0 ELSE d.amount END AS amount,
       d.rate_level, d.rate_ref, d.fx_rate_id, d.billing_terms_id,
       CASE WHEN NOT d.is_leaving THEN d.capped_seconds END AS capped_seconds,
       CASE WHEN NOT d.is_leaving THEN d.capped_line_id END AS capped_line_id,
       CASE WHEN d.billed_seconds <> d.seconds AND NOT d.is_leaving THEN d.billed_seconds END AS billed_seconds,
       CASE WHEN d.is_leaving THEN NULL ELSE d.posting_hash END AS posting_hash, d.neighbor_keys,
       d.correlation_id,
       CASE WHEN d.outcome = 'parked' THEN greatest(greatest(d.recorded_at, d.project_recorded_at)
            + make_interval(secs => coalesce(d.policy_park_seconds, 3600)), d.at_risk_until) END AS parked_until,
       CASE WHEN v.version = d.version AND v.neighbor_keys <> d.neighbor_keys THEN ARRAY(
            SELECT k FROM unnest(v.neighbor_keys || d.neighbor_keys) k
            WHERE NOT (k = ANY (v.neighbor_keys) AND k = ANY (d.neighbor_keys))
              AND split_part(k, ':', 1) <> ALL (%(apart)s::text[])) END AS other_keys
FROM decided d
CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = d.entry_id OFFSET 0) t
LEFT JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = t.verdict_id OFFSET 0) v ON true
LEFT JOIN LATERAL (
    SELECT array_agg(code || '=' || severity ORDER BY code) AS reasons FROM verdict_reason r
    WHERE r.verdict_id = v.verdict_id
) o ON true
WHERE v.verdict_id IS NULL OR (v.version, v.outcome, v.release_id) <> (d.version, d.outcome, %(release_id)s)
   OR v.posting_hash IS DISTINCT FROM CASE WHEN d.is_leaving THEN NULL ELSE d.posting_hash END
   OR v.amount IS DISTINCT FROM CASE WHEN d.is_leaving THEN 0 ELSE d.amount END
   OR v.neighbor_keys <> d.neighbor_keys OR coalesce(o.reasons, '{}') <> d.reasons
-- then
WITH stored AS (
    INSERT INTO verdict (entry_id, version, outcome, release_id, known_at, judged_at, person_id, project_id,
        task_id, contract_id, contract_line_id, client_id, entity_code, home_entity_code, period_id,
        labor_category, work_date, seconds, is_billable, rate_amount, currency, amount, posting_hash,
        neighbor_keys, parked_until, correlation_id, rate_level, rate_ref, fx_rate_id, billing_terms_id,
        billed_seconds, capped_seconds, capped_line_id)
    SELECT entry_id, version, outcome, %(release_id)s, %(known_at)s, %(now)s, person_id, project_id, task_id,
        contract_id, contract_line_id, client_id, entity_code, home_entity_code, period_id, labor_category,
        work_date, seconds, is_billable, rate_amount, currency, amount, posting_hash, neighbor_keys,
        parked_until, correlation_id, rate_level, rate_ref, fx_rate_id, billing_terms_id, billed_seconds,
        capped_seconds, capped_line_id
    FROM new_verdict ORDER BY entry_id
    RETURNING verdict_id, entry_id
), reasons AS (
    INSERT INTO verdict_reason (verdict_id, code, severity)
    SELECT s.verdict_id, w.code, w.severity FROM stored s JOIN weighed w USING (entry_id)
    RETURNING verdict_id
), asked AS (
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT k, 'verdict.moved', 'verdict.moved', %(now)s::timestamptz
    FROM new_verdict n CROSS JOIN LATERAL unnest(n.other_keys) k
)
UPDATE time_entry t SET verdict_id = s.verdict_id FROM stored s WHERE t.entry_id = s.entry_id
