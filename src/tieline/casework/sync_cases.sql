-- Open, join, leave and close in one statement, for everything that upkeep brings in.
-- A member that a person dismissed stays dismissed until its record changes.
-- NOT IN over rows without NULL is hashed whatever the planner expects; an anti join may go quadratic here.
WITH wanted AS MATERIALIZED (
    SELECT w.* FROM case_wanted_rows(%(now)s) w
    WHERE w.entry_id IS NOT NULL OR NOT EXISTS (
        SELECT FROM case_member m JOIN case_file c USING (case_id)
        WHERE c.state = 'dismissed' AND c.reason = w.reason
          AND m.member_kind = w.member_kind AND m.member_key = w.member_key)
), keys AS (
    SELECT reason, owner_queue, thing_kind, thing_key, min(entity_code) AS entity_code, min(due_at) AS due_at,
           (array_agg(details ORDER BY member_key))[1] AS details
    FROM wanted GROUP BY reason, owner_queue, thing_kind, thing_key
), opened AS (
    INSERT INTO case_file (reason, owner_queue, thing_kind, thing_key, entity_code, opened_at, due_at,
                           correlation_id, details)
    SELECT k.reason, k.owner_queue, k.thing_kind, k.thing_key, k.entity_code, %(now)s, k.due_at,
           %(correlation_id)s, k.details
    FROM keys k
    WHERE NOT EXISTS (
        SELECT FROM case_file c
        WHERE (c.reason, c.owner_queue, c.thing_kind, c.thing_key)
            = (k.reason, k.owner_queue, k.thing_kind, k.thing_key) AND c.state = 'open')
    ON CONFLICT DO NOTHING
    RETURNING case_id, reason, owner_queue, thing_kind, thing_key
), told AS (
    -- What a case says follows its members.
    UPDATE case_file c SET details = c.details || k.details
    FROM keys k
    WHERE (c.reason, c.owner_queue, c.thing_kind, c.thing_key)
        = (k.reason, k.owner_queue, k.thing_kind, k.thing_key)
      AND c.state = 'open' AND NOT c.details @> k.details
), standing AS (
    SELECT case_id, reason, owner_queue, thing_kind, thing_key FROM case_file WHERE state = 'open'
    UNION ALL SELECT case_id, reason, owner_queue, thing_kind, thing_key FROM opened
), asked AS MATERIALIZED (
    SELECT s.case_id, w.member_kind, w.member_key, w.entry_id, w.seconds, w.amount, w.currency, w.basis
    FROM wanted w JOIN standing s USING (reason, owner_queue, thing_kind, thing_key)
), joined AS (
    INSERT INTO case_member AS m (case_id, member_kind, member_key, entry_id, seconds, amount, currency,
                                  basis, is_synced, joined_at)
    SELECT case_id, member_kind, member_key, entry_id, seconds, amount, currency, basis, true, %(now)s
    FROM asked
    ON CONFLICT (case_id, member_kind, member_key) DO UPDATE
        SET left_at = NULL, is_synced = true, seconds = excluded.seconds, amount = excluded.amount,
            currency = excluded.currency, basis = excluded.basis
        WHERE (m.left_at, m.is_synced, m.seconds, m.amount, m.currency, m.basis)
            IS DISTINCT FROM (NULL, true, excluded.seconds, excluded.amount, excluded.currency, excluded.basis)
    RETURNING case_id
), gone AS (
    UPDATE case_member m SET left_at = %(now)s
    FROM case_file c
    WHERE c.case_id = m.case_id AND c.state = 'open' AND m.is_synced AND m.left_at IS NULL
      AND (m.case_id, m.member_kind, m.member_key) NOT IN (
          SELECT a.case_id, a.member_kind, a.member_key FROM asked a)
    RETURNING m.case_id, m.member_kind, m.member_key
), closed AS (
    UPDATE case_file c SET state = 'closed', closed_at = %(now)s, closed_because = 'healed'
    WHERE c.state = 'open'
      AND c.case_id IN (SELECT g.case_id FROM gone g)
      AND c.case_id NOT IN (SELECT a.case_id FROM asked a)
      AND c.case_id NOT IN (
          SELECT m.case_id FROM case_member m
          WHERE m.left_at IS NULL
            AND (m.case_id, m.member_kind, m.member_key) NOT IN (
                SELECT g.case_id, g.member_kind, g.member_key FROM gone g))
    RETURNING c.case_id
)
SELECT (SELECT count(*) FROM opened)::int AS opened, (SELECT count(*) FROM joined)::int AS joined,
       (SELECT count(*) FROM gone)::int AS left_count, (SELECT count(*) FROM closed)::int AS closed
