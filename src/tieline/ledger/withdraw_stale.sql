-- A plan that a newer version or verdict has overtaken is withdrawn, as long as nothing stands by it:
-- never sent, proved absent, or refused by the target.
UPDATE effect e SET state = 'WITHDRAWN', reason = 'posting.overtaken'
FROM unsettled_effect u, time_entry t
LEFT JOIN verdict v ON v.verdict_id = t.verdict_id AND v.version = t.newest_version
WHERE t.entry_id = e.entry_id AND e.noun = 'time_line'
  AND e.state IN ('PLANNED', 'ABSENT', 'REJECTED') AND NOT (e.kind = 'void' AND e.state = 'ABSENT')
  AND u.business_key = e.business_key AND {of_entries}
  AND e.verdict_id IS DISTINCT FROM v.verdict_id
