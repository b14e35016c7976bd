-- The newest check of a connection takes the place of the last one, in the scopes that were asked (none: all).
INSERT INTO conservation_check (side, connection_key, asked_at) VALUES (%(side)s, %(connection_key)s, %(asked_at)s)
ON CONFLICT (side, connection_key) DO UPDATE SET asked_at = excluded.asked_at
-- then
DELETE FROM conservation_line
WHERE side = %(side)s AND connection_key = %(connection_key)s
  AND (%(month_on)s::date IS NULL OR (entity_code, month_on) = (%(entity_code)s, %(month_on)s))
-- then
INSERT INTO conservation_line (side, connection_key, entity_code, month_on, asked_at, theirs_seconds, ours_seconds,
    gap_seconds, apart_seconds)
SELECT %(side)s, %(connection_key)s, entity_code, month_on, %(asked_at)s, sum(theirs_seconds), sum(ours_seconds),
       sum(abs(theirs_seconds - ours_seconds)), sum(apart_seconds)
FROM compared GROUP BY entity_code, month_on
-- then
DELETE FROM conservation_difference d
WHERE side = %(side)s AND connection_key = %(connection_key)s
  AND (%(month_on)s::date IS NULL OR (entity_code, month_on) = (%(entity_code)s, %(month_on)s))
  AND NOT EXISTS (SELECT FROM compared c WHERE (c.entity_code, c.month_on, c.project_ref)
                      = (d.entity_code, d.month_on, d.project_ref)
                  AND (c.is_moving OR c.theirs_seconds <> c.ours_seconds))
-- then
INSERT INTO conservation_difference AS d (side, connection_key, entity_code, month_on, project_ref, theirs_seconds,
    ours_seconds, since, checks)
SELECT %(side)s, %(connection_key)s, entity_code, month_on, project_ref, theirs_seconds, ours_seconds, %(asked_at)s, 1
FROM compared WHERE theirs_seconds <> ours_seconds
ON CONFLICT (side, connection_key, entity_code, month_on, project_ref) DO UPDATE
SET theirs_seconds = excluded.theirs_seconds, ours_seconds = excluded.ours_seconds, checks = d.checks + 1
