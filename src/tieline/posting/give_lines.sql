-- Lines go into a file: each with its place there, then out of reach of sending.
WITH given AS (
    SELECT * FROM unnest(%(keys)s::uuid[], %(people)s::text[], %(tasks)s::text[], %(days)s::date[],
                         %(seconds)s::int[]) WITH ORDINALITY
        AS k (business_key, person_code, task_code, work_date, seconds, line_number)
)
INSERT INTO import_file_line (file_id, business_key, line_number, person_code, task_code, work_date, seconds,
                              given_at, valid_until)
SELECT f.file_id, g.business_key, g.line_number, g.person_code, g.task_code, g.work_date, g.seconds, f.made_at,
       f.valid_until
FROM given g, import_file f WHERE f.file_id = %(file_id)s
