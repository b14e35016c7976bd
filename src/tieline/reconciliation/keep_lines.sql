INSERT INTO line_check (target_connection, entity_code, period_id, asked_at, lines)
VALUES (%(target)s, %(entity_code)s, %(period_id)s, %(asked_at)s, (SELECT count(*) FROM standing_line))
ON CONFLICT (target_connection, entity_code, period_id) DO UPDATE SET asked_at = excluded.asked_at, lines = excluded.lines
-- then
DELETE FROM line_difference d
WHERE (target_connection, entity_code, period_id) = (%(target)s, %(entity_code)s, %(period_id)s)
  AND NOT EXISTS (SELECT FROM compared_line c WHERE (c.thing, c.said) = (d.thing, d.said))
-- then
INSERT INTO line_difference AS d (target_connection, entity_code, period_id, thing, said, project_id, seconds, amount,
    currency, since, checks)
SELECT %(target)s, %(entity_code)s, %(period_id)s, thing, said, project_id, seconds, amount, currency, %(asked_at)s, 1
FROM compared_line
ON CONFLICT (target_connection, entity_code, period_id, thing, said) DO UPDATE
SET checks = d.checks + 1, seconds = excluded.seconds, amount = excluded.amount, currency = excluded.currency,
    project_id = excluded.project_id
