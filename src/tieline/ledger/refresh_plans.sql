-- A plan not yet sent follows a newer verdict that asks for the same line.
UPDATE effect e SET verdict_id = v.verdict_id, entry_version = v.version, verdict_outcome = v.outcome,
       amount = CASE WHEN e.kind = 'book' AND e.part <> 'capped' THEN v.amount ELSE e.amount END, release_id = v.release_id
FROM unsettled_effect u, time_entry t
JOIN verdict v ON v.verdict_id = t.verdict_id AND v.version = t.newest_version
WHERE t.entry_id = e.entry_id AND e.noun = 'time_line' AND e.state IN ('PLANNED', 'ABSENT')
  AND u.business_key = e.business_key AND u.state IN ('PLANNED', 'ABSENT') AND e.verdict_id <> v.verdict_id
  AND {of_entries}
  AND ((e.kind = 'book' AND v.outcome IN ('cleared', 'correct') AND v.posting_hash = e.posting_hash)
       OR (e.kind = 'void' AND v.outcome = 'correct'))
