-- Take back what stands but no longer equals the newest verdict; the new booking follows the void.
-- Few hours are corrected: they are found first, then what stands of each.
WITH corrected AS MATERIALIZED (
    SELECT t.entry_id, v.verdict_id, v.version, v.correlation_id, v.seconds, v.posting_hash
    FROM time_entry t
    {verdicts}
    WHERE v.version = t.newest_version AND v.outcome = 'correct' AND {of_entries}
), standing AS (
    SELECT e.*, c.verdict_id AS new_verdict_id, c.version AS new_version, c.correlation_id AS new_correlation_id
    FROM corrected c
    CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.entry_id = c.entry_id OFFSET 0) e
    WHERE e.noun = 'time_line' AND e.kind = 'book' AND e.state = 'CONFIRMED'
      AND (c.seconds = 0 OR c.posting_hash IS DISTINCT FROM e.posting_hash)
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND u.state <> 'WITHDRAWN')
), placed AS (
    -- What stands in a closed period is taken back in the one that was agreed on, under its first day.
    SELECT s.*, coalesce(a.reversal_period_id, s.period_id) AS into_period_id,
           CASE WHEN a.reversal_period_id <> s.period_id THEN n.starts_on END AS into_day
    FROM standing s
    LEFT JOIN adjustment a ON a.entry_id = s.entry_id AND a.version = s.new_version AND a.superseded_at IS NULL
    LEFT JOIN fiscal_period n ON n.period_id = a.reversal_period_id
), numbered AS (
    -- Looked up by the entry, whose identity it is: by the identity itself, every effect was read for each of them.
    SELECT s.*, 1 + (
        SELECT max(e.effect_no) FROM (SELECT * FROM effect e WHERE e.entry_id = s.entry_id OFFSET 0) e
        WHERE (e.target_connection, e.noun, e.part) = (s.target_connection, s.noun, s.part)
        ) AS next_no, tieline.cut_off_class(p, %(now)s) AS urgency, tieline.cut_off_deadline(p, %(now)s) AS due_by
    FROM placed s JOIN fiscal_period p ON p.period_id = s.into_period_id
), planned AS (
    INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref, target_connection, noun,
        part, effect_no, kind, undoes_key, verdict_id, entry_id, entry_version, verdict_outcome, entity_code,
        period_id, project_id, seconds, amount, currency, posting_hash, work_class, deadline_at, release_id,
        correlation_id, planned_at, books_on)
    SELECT tieline.business_key(connection_key, source_epoch, object, source_ref, target_connection, noun, part,
                                next_no),
           connection_key, source_epoch, object, source_ref, target_connection, noun, part, next_no, 'void',
           business_key, new_verdict_id, entry_id, new_version, 'correct', entity_code, into_period_id, project_id,
           -seconds, -amount, currency, posting_hash, urgency, due_by, release_id, new_correlation_id,
           %(now)s, into_day
    FROM numbered
    ON CONFLICT DO NOTHING
    RETURNING target_connection, entity_code, period_id, work_class, deadline_at, abs(amount) AS value_at_risk
)
-- Told by scope: of a page there are a few, and a row for each line would be read for its sum alone.
SELECT target_connection, entity_code, period_id, work_class, deadline_at, sum(value_at_risk) AS value_at_risk,
       count(*) AS lines
FROM planned GROUP BY target_connection, entity_code, period_id, work_class, deadline_at
