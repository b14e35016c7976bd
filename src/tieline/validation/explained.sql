-- What each violation weighed, also where the policy ignores it, and which override said so.
SELECT j.*, coalesce((
    SELECT jsonb_agg(jsonb_build_object('code', w.code, 'weight', w.severity,
        'override', CASE WHEN o.override_id IS NOT NULL THEN jsonb_build_object(
            'severity', o.severity, 'entity_code', o.entity_code, 'client_id', o.client_id,
            'contract_id', o.contract_id, 'starts_on', o.starts_on, 'ends_on', o.ends_on, 'reason', o.reason) END)
        ORDER BY w.code)
    FROM every_weight w LEFT JOIN severity_override o ON o.override_id = w.override_id
    WHERE w.entry_id = j.entry_id), '[]') AS weights
FROM judged j
