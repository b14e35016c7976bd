-- What is looked for when something is to be sent, asked about or decided is exactly what is not settled.
SELECT NULL AS source_connection, coalesce(e.target_connection, u.target_connection) AS target_connection,
       coalesce(e.entity_code, u.entity_code) AS entity_code, coalesce(e.period_id, u.period_id) AS period_id,
       e.project_id,
       CASE WHEN u.business_key IS NULL THEN 'writes that are not settled are in no list of what is open'
            WHEN e.is_open THEN 'the list of what is open says something else of writes than they do'
            ELSE 'writes are listed as open that are settled or gone' END AS said,
       e.currency, coalesce(e.business_key, u.business_key)::text AS thing, coalesce(e.seconds, 0) AS seconds, e.amount
FROM (SELECT *, effect_is_unsettled(state, reason, noun, kind, attempt, asked_again_at) AS is_open FROM effect) e
FULL JOIN unsettled_effect u ON u.business_key = e.business_key
WHERE coalesce(e.is_open, false) <> (u.business_key IS NOT NULL)
   OR e.is_open
      AND (e.target_connection, e.entity_code, e.period_id, e.noun, e.kind, e.state, e.attempt = 0, e.due_at,
           e.deadline_at, e.amount, e.planned_at, e.entry_id)
          IS DISTINCT FROM (u.target_connection, u.entity_code, u.period_id, u.noun, u.kind, u.state, u.is_first,
           u.due_at, u.deadline_at, u.amount, u.planned_at, u.entry_id)
