-- The legal entities that hours belong to by their newest verdict, or belonged to by an earlier one.
SELECT DISTINCT v.entity_code FROM verdict v
WHERE v.entity_code IS NOT NULL
  AND (v.verdict_id = ANY (%(verdict_ids)s)
       OR v.verdict_id IN (SELECT t.verdict_id FROM time_entry t WHERE t.entry_id = ANY (%(entry_ids)s)))
ORDER BY 1
