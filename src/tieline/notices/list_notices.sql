-- What people were told, or should have been.
SELECT notice_key, kind, occasion, owner, recipient, connection_key, subject, cardinality(case_ids) AS cases,
       due_at, written_at, state, attempts, last_error, sent_at, acknowledged_at
FROM notice
WHERE %(owner)s::text IS NULL OR %(owner)s IN (owner, recipient)
ORDER BY written_at DESC, notice_key LIMIT %(limit)s
