-- What became of lines of a file; whoever settled one before keeps it as it is.
UPDATE import_file_line l SET outcome = %(outcome)s, found_by = k.found_by, released_by = %(released_by)s,
    absent_at = CASE WHEN %(outcome)s = 'released' THEN %(asked_at)s ELSE l.absent_at END, settled_at = %(now)s
FROM unnest(%(keys)s::uuid[], %(found_by)s::text[]) AS k (business_key, found_by)
WHERE l.file_id = %(file_id)s AND l.business_key = k.business_key AND l.outcome = 'given'
RETURNING l.business_key
