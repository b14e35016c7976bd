-- What is open of lines, in the order of its index and each by its key: with few open among many that were posted, a
-- planner read every effect that there ever was, for each batch.
(SELECT u.business_key, u.target_connection, u.entity_code, u.period_id, u.noun, u.kind, u.state, u.is_first, u.due_at,
        u.deadline_at, u.amount, u.planned_at, u.entry_id, e.connection_key, e.part, e.undoes_key, e.verdict_id,
        e.entry_version, e.project_id, e.work_class, e.books_on
 FROM unsettled_effect u
 CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.business_key = u.business_key OFFSET 0) e)
