-- What became of the members of these cases, asked in the transaction in which they were judged and sent again.
WITH waiting AS MATERIALIZED (
    SELECT m.case_id, m.member_kind, v.verdict_id,
           (SELECT e.state FROM effect e WHERE m.member_kind = 'effect' AND e.business_key = m.member_key::uuid)
               AS write_state,
           EXISTS (SELECT FROM untranslated u WHERE m.member_kind = 'raw_record'
                   AND m.member_key = u.connection_key || ':' || u.source_epoch || ':' || u.object || ':'
                       || u.source_ref || ':' || u.raw_id) AS is_read
    FROM case_member m
    LEFT JOIN time_entry t ON t.entry_id = m.entry_id AND m.member_kind = 'time_entry'
    LEFT JOIN verdict v ON v.verdict_id = t.verdict_id AND v.outcome = 'held'
    WHERE m.case_id = ANY (%(case_ids)s) AND m.left_at IS NULL
), held AS (
    SELECT w.case_id, array_agg(DISTINCT r.code ORDER BY r.code) AS codes
    FROM waiting w JOIN verdict_reason r USING (verdict_id)
    WHERE r.severity = 'error' GROUP BY w.case_id
)
SELECT w.case_id, count(*) FILTER (WHERE w.member_kind = 'time_entry')::int AS hours,
       count(w.verdict_id)::int AS still_held, count(*) FILTER (WHERE w.write_state = 'PLANNED')::int AS writes,
       count(*) FILTER (WHERE w.write_state = 'WITHDRAWN')::int AS dropped,
       count(*) FILTER (WHERE w.is_read)::int AS records, coalesce(h.codes, '{}') AS held_by
FROM waiting w LEFT JOIN held h USING (case_id)
GROUP BY w.case_id, h.codes
