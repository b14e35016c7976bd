-- What stood here and stands there no more, because another line of the hour took its place: taken back.
INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref, target_connection, noun,
    part, effect_no, kind, undoes_key, verdict_id, entry_id, entry_version, verdict_outcome, entity_code,
    period_id, project_id, seconds, amount, currency, posting_hash, work_class, deadline_at, release_id,
    correlation_id, planned_at)
SELECT tieline.business_key(e.connection_key, e.source_epoch, e.object, e.source_ref, e.target_connection,
                            e.noun, e.part, n.next_no),
       e.connection_key, e.source_epoch, e.object, e.source_ref, e.target_connection, e.noun, e.part,
       n.next_no, 'void', e.business_key, e.verdict_id, e.entry_id, e.entry_version, e.verdict_outcome,
       e.entity_code, e.period_id, e.project_id, -e.seconds, -e.amount, e.currency, e.posting_hash,
       e.work_class, e.deadline_at, e.release_id, e.correlation_id, %(now)s
FROM effect e
CROSS JOIN LATERAL (SELECT 1 + max(o.effect_no) AS next_no FROM effect o WHERE o.entry_id = e.entry_id
                    AND o.target_connection = e.target_connection AND o.noun = e.noun AND o.part = e.part) n
WHERE e.business_key = ANY (%(keys)s::uuid[])
  AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                  AND u.state <> 'WITHDRAWN')
