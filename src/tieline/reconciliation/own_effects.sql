-- What was confirmed is what its verdict asked for and what was sent: the digest that was committed before the first
-- byte left is computed again. A person or task that is known under several codes may have been sent under each.
SELECT NULL AS source_connection, e.target_connection, v.entity_code, v.period_id, v.project_id,
       CASE WHEN bool_and(e.is_as_judged) THEN 'confirmed lines say something else than was sent'
            ELSE 'confirmed lines say something else than their verdict' END AS said,
       e.currency, e.business_key::text AS thing, e.seconds - e.asked_seconds AS seconds,
       coalesce(e.amount, 0) - coalesce(e.asked_amount, 0) AS amount
FROM (
    SELECT e.*, CASE WHEN e.part = 'capped' THEN v.capped_line_id ELSE v.contract_line_id END AS line_id,
           o.seconds AS asked_seconds, o.amount AS asked_amount,
           (e.seconds, e.amount, e.currency, e.entity_code, e.project_id,
                 CASE WHEN e.books_on IS NULL THEN e.period_id END)
                IS NOT DISTINCT FROM (o.seconds, o.amount, v.currency, v.entity_code, v.project_id,
                                      CASE WHEN e.books_on IS NULL THEN v.period_id END) AS is_as_judged
    FROM effect e JOIN verdict v USING (verdict_id)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN e.part = 'capped' THEN v.capped_seconds ELSE v.seconds - coalesce(v.capped_seconds, 0) END
                   AS seconds, CASE WHEN e.part = 'capped' THEN 0 ELSE v.amount END AS amount
    ) o
    WHERE e.noun = 'time_line' AND e.kind = 'book' AND e.state = 'CONFIRMED'
) e
JOIN verdict v USING (verdict_id)
LEFT JOIN crosswalk person ON person.connection_key = e.target_connection AND person.noun = 'employee'
    AND person.our_id = v.person_id AND person.scope = e.entity_code
LEFT JOIN crosswalk task ON task.connection_key = e.target_connection AND task.noun = 'erp_task'
    AND task.our_id = e.line_id AND task.scope IN ('', v.project_id::text)
GROUP BY e.business_key, e.target_connection, v.entity_code, v.period_id, v.project_id, e.currency, e.seconds, e.amount,
         e.asked_seconds, e.asked_amount
HAVING NOT bool_and(e.is_as_judged) OR NOT bool_or(coalesce(e.payload_hash = encode(sha256(
    key_part('person_code') || key_part(person.source_ref) || key_part('seconds') || key_part(e.seconds::text)
    || key_part('task_code') || key_part(task.source_ref)
    || key_part('work_date') || key_part(to_char(coalesce(e.books_on, v.work_date), 'YYYY-MM-DD'))), 'hex'),
    person.source_ref IS NULL OR task.source_ref IS NULL))
