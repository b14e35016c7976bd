-- What waits unsent while something newer of its kind is said to the same owner is not worth sending any more.
-- What is under way, or may have arrived, stays as it is; each target and each project at risk is told of on its own.
UPDATE notice SET state = 'superseded'
WHERE kind = %(kind)s AND owner = %(owner)s AND occasion <> %(occasion)s AND kind NOT IN ('unconfirmed', 'risk')
  AND (connection_key IS NULL OR connection_key = %(connection_key)s)
  AND state IN ('waiting', 'failed')
  AND (kind = 'digest' OR period_id IS NOT DISTINCT FROM %(period_id)s)
