-- Stop a scope, or say again that it stands; is_new where it did not stand before. What two people let go on stays
-- free as long as the check finds the same.
WITH newest AS (
    SELECT lifted_by, fingerprint FROM posting_stop
    WHERE (check_name, subject, scope_key) = (%(check)s, %(subject)s, %(scope_key)s) AND lifted_at IS NOT NULL
    ORDER BY since DESC, lifted_at DESC LIMIT 1
)
INSERT INTO posting_stop AS s (check_name, subject, scope_key, source_connection, target_connection, entity_code,
    period_id, project_id, because, fingerprint, since, last_red_at)
SELECT %(check)s, %(subject)s, %(scope_key)s, %(source)s, %(target)s, %(entity_code)s, %(period_id)s::uuid,
       %(project_id)s::uuid, %(because)s, %(fingerprint)s, %(now)s::timestamptz, %(now)s::timestamptz
WHERE NOT EXISTS (SELECT FROM newest n WHERE n.lifted_by <> 'check:' || %(check)s AND n.fingerprint = %(fingerprint)s)
ON CONFLICT (check_name, subject, scope_key) WHERE lifted_at IS NULL DO UPDATE
SET because = excluded.because, fingerprint = excluded.fingerprint, last_red_at = excluded.last_red_at, green_checks = 0
RETURNING xmax = 0 AS is_new
