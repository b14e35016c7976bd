-- What is known here of these hours in the target; ``is_undone`` once it was taken back.
SELECT e.*, EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                    AND u.state = 'CONFIRMED') AS is_undone
FROM effect e
WHERE e.entry_id = ANY (%(entry_ids)s::uuid[]) AND e.target_connection = %(target)s AND e.noun = 'time_line'
ORDER BY e.entry_id, e.effect_no
FOR UPDATE OF e
