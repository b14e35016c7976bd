-- Each confirmed line has one ledger line that says the same as its effect and its verdict, and no other line is there.
-- Both are written in one transaction, so one statement never sees a half of it.
SELECT NULL AS source_connection, coalesce(v.target_connection, e.target_connection, l.target_connection) AS target_connection,
       coalesce(v.entity_code, e.entity_code, l.entity_code) AS entity_code,
       coalesce(v.period_id, e.period_id, l.period_id) AS period_id,
       coalesce(v.project_id, e.project_id, l.project_id) AS project_id,
       CASE WHEN l.business_key IS NULL THEN 'confirmed lines have no ledger line'
            WHEN e.state IS DISTINCT FROM 'CONFIRMED' THEN 'ledger lines have no confirmed write'
            ELSE 'ledger lines say something else than was confirmed' END AS said,
       coalesce(l.currency, e.currency) AS currency, coalesce(e.business_key, l.business_key)::text AS thing,
       coalesce(l.seconds, 0) - CASE WHEN e.state = 'CONFIRMED' THEN e.seconds ELSE 0 END AS seconds,
       coalesce(l.amount, 0) - CASE WHEN e.state = 'CONFIRMED' THEN coalesce(e.amount, 0) ELSE 0 END AS amount
FROM (SELECT * FROM effect WHERE noun = 'time_line') e
FULL JOIN ledger_line l ON l.business_key = e.business_key
LEFT JOIN LATERAL (
    SELECT e.target_connection, v.*, CASE WHEN e.part = 'capped' THEN 0 ELSE v.rate_amount END AS asked_rate FROM verdict v WHERE v.verdict_id = e.verdict_id AND e.kind = 'book'
) v ON true
WHERE (e.state = 'CONFIRMED') IS DISTINCT FROM (l.business_key IS NOT NULL)
   OR (l.business_key IS NOT NULL
       AND ((l.seconds, l.amount, l.currency, l.entity_code, l.period_id, l.project_id, l.target_connection, l.entry_id,
             l.entry_version)
            IS DISTINCT FROM (e.seconds, e.amount, e.currency, e.entity_code, e.period_id, e.project_id,
                              e.target_connection, e.entry_id, e.entry_version)
            OR (e.kind = 'book' AND (
                l.target_code IS DISTINCT FROM e.target_code
                OR (l.target_seconds <> e.seconds AND e.reason IS DISTINCT FROM 'posted.altered_by_target')
                OR (l.person_id, l.contract_id, l.client_id, l.work_date, l.rate_amount)
                   IS DISTINCT FROM (v.person_id, v.contract_id, v.client_id, coalesce(e.books_on, v.work_date), v.asked_rate)))))
