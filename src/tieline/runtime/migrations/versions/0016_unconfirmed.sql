-- What was sent once to a target that keeps no key of ours, and not answered: one case per target, noun and
-- legal entity, for a person looks through the lines together.
CREATE OR REPLACE VIEW case_wanted_effect AS
SELECT CASE WHEN e.reason = 'posting.unconfirmed' THEN 'posted.unconfirmed'
            ELSE 'posted.' || lower(e.state) END AS reason,
       'integration'::text AS owner_queue, 'target'::text AS thing_kind,
       e.target_connection || ':' || e.noun || ':' || coalesce(e.entity_code, '') || ':'
           || CASE WHEN e.reason = 'posting.unconfirmed' THEN 'unconfirmed'
                   WHEN e.state = 'REJECTED' THEN coalesce(e.reason, '') || coalesce(':' || e.project_id, '')
                   ELSE e.business_key::text END AS thing_key,
       e.entity_code, 'effect'::text AS member_kind, e.business_key::text AS member_key, e.entry_id,
       abs(e.seconds) AS seconds, abs(e.amount) AS amount, e.currency,
       CASE WHEN e.amount IS NULL THEN 'unpriced' ELSE 'price' END AS basis, e.deadline_at AS due_at,
       e.correlation_id,
       CASE WHEN e.reason = 'posting.unconfirmed' THEN jsonb_build_object(
                'message', 'These lines were sent once and not answered; the target cannot be asked for them.',
                'fix', 'Look for each line in the target, and say which stand there.')
            ELSE jsonb_build_object('message', coalesce(e.reason, '')) END AS details
FROM effect e
WHERE e.state IN ('REJECTED', 'CONFLICT')
  AND NOT (e.kind = 'void' AND e.noun = 'time_line' AND e.state = 'REJECTED'
           AND e.reason IS NOT DISTINCT FROM 'target.invoiced')
UNION ALL
-- It leaves when the line is taken back, by a change of the hour or by a person in the target.
SELECT 'posted.altered_by_target', 'finance', 'target',
       e.target_connection || ':' || e.noun || ':' || coalesce(e.entity_code, '') || coalesce(':' || e.project_id, ''),
       -- No hour waits for it: what stands in the target is in the ledger as the target stored it.
       e.entity_code, 'effect', e.business_key::text, NULL,
       abs(e.seconds), abs(e.amount), e.currency,
       CASE WHEN e.amount IS NULL THEN 'unpriced' ELSE 'price' END, e.deadline_at, e.correlation_id,
       jsonb_build_object(
           'message', 'The target stored another day, person, task or quantity than was sent.',
           'fix', 'Compare the hours in both systems; change what is wrong where it was booked, or leave it as it is with a reason.')
FROM effect e
WHERE e.state = 'CONFIRMED' AND e.reason = 'posted.altered_by_target'
  AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                  AND u.state = 'CONFIRMED');
