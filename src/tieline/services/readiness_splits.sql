-- Among whom contracts are split, of all days, each client under its present id: whether the ERP knows it, and whether
-- it can be billed: what the book asks of a contract's own client is put into the braces.
SELECT c.contract_id, b.starts_on, b.ends_on, k.client_id, b.percent, b.takes_rounding, x.source_ref AS client_code,
       (SELECT {complete} FROM (
            SELECT v.is_active AS client_is_active, v.street, v.city, v.country_code, v.vat_number) asked) AS is_complete,
       EXISTS (SELECT FROM tax_treatment t WHERE t.entity_code = c.entity_code AND t.superseded_at IS NULL
               AND t.treatment = cv.tax_treatment AND t.country_code IN ('', v.country_code)
               AND daterange(t.starts_on, t.ends_on) @> k.today) AS is_tax_allowed,
       (SELECT min(h.reason) FROM client_hold h JOIN client o USING (client_id)
        WHERE coalesce(o.redirect_to, o.client_id) = k.client_id AND h.superseded_at IS NULL
          AND daterange(h.starts_on, h.ends_on) @> k.today) AS hold
FROM billing_split b
JOIN contract c USING (contract_code)
JOIN contract_version cv ON cv.contract_id = c.contract_id AND cv.superseded_at IS NULL
JOIN legal_entity l ON l.entity_code = c.entity_code
JOIN client o ON o.client_id = b.client_id
CROSS JOIN LATERAL (
    SELECT coalesce(o.redirect_to, o.client_id) AS client_id, timezone(l.zone, %(now)s::timestamptz)::date AS today
) k
LEFT JOIN client_version v ON v.client_id = k.client_id AND v.superseded_at IS NULL
LEFT JOIN crosswalk x ON x.noun = 'client' AND x.our_id = k.client_id AND x.connection_key = l.erp_connection_key
     AND x.scope = '' AND x.superseded_at IS NULL
WHERE b.superseded_at IS NULL
  AND (%(contract_ids)s::uuid[] IS NULL OR c.contract_id = ANY (%(contract_ids)s::uuid[]))
ORDER BY c.contract_id, b.starts_on, k.client_id, b.client_id
