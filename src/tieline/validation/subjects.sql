-- Who is judged: what the batch brought, what a key names, and the unposted neighbors of both.
DROP TABLE IF EXISTS judge_subject, judged, weighed, new_verdict
-- then
CREATE TEMP TABLE judge_subject (entry_id uuid PRIMARY KEY) ON COMMIT DROP
-- then
INSERT INTO judge_subject
SELECT entry_id FROM time_entry_version
WHERE batch_id = %(batch_id)s AND is_newest
UNION
SELECT substr(k, 7)::uuid FROM unnest(%(keys)s::text[]) k
WHERE k LIKE 'entry:%%' AND EXISTS (SELECT FROM time_entry t WHERE t.entry_id = substr(k, 7)::uuid)
UNION
SELECT t.entry_id FROM verdict v
JOIN time_entry t ON t.verdict_id = v.verdict_id
WHERE v.neighbor_keys && (SELECT array_agg(k) FROM unnest(%(keys)s::text[]) k WHERE k NOT LIKE 'entry:%%')
  AND (v.version <> t.newest_version OR NOT EXISTS (SELECT FROM standing_effect s WHERE s.entry_id = t.entry_id))
-- then
DELETE FROM rejudge WHERE neighbor_key = ANY (%(keys)s::text[])
-- then
ANALYZE judge_subject
