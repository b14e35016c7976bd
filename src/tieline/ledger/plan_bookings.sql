-- One booking effect per cleared entry that has nothing standing and nothing under way; two where a part of it is
-- above a cap. What stands under another verdict is taken back first.
-- The key is computed from the source alone, as kernel.keys.business_key does.
WITH calendar AS MATERIALIZED (
    SELECT p.period_id, p.starts_on, tieline.cut_off_class(p, %(now)s) AS work_class,
           tieline.cut_off_deadline(p, %(now)s) AS deadline_at
    FROM fiscal_period p
), cleared AS MATERIALIZED (
    -- Each look-up is made by key, hour by hour, whatever the planner expects: statistics of one table that are newer
    -- than those of another made it read all effects for each of five thousand hours.
    SELECT t.entry_id, t.connection_key, t.source_epoch, t.object, t.source_ref, v.verdict_id, v.version,
           v.outcome, v.entity_code, v.period_id, v.project_id, k.part, k.seconds, k.amount, v.currency,
           v.posting_hash, v.release_id, v.correlation_id
    FROM time_entry t
    CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = t.verdict_id OFFSET 0) v
    CROSS JOIN LATERAL (
        SELECT 'main' AS part, v.seconds - coalesce(v.capped_seconds, 0) AS seconds, v.amount
        UNION ALL
        SELECT 'capped', v.capped_seconds, 0 WHERE v.capped_seconds IS NOT NULL
    ) k
    WHERE v.version = t.newest_version AND v.outcome IN ('cleared', 'correct') AND k.seconds > 0
      AND {of_entries}
), free AS MATERIALIZED (
    SELECT c.*
    FROM cleared c
    LEFT JOIN LATERAL (
        SELECT true AS stands FROM effect e
        WHERE e.entry_id = c.entry_id AND e.noun = 'time_line' AND e.kind = 'book' AND e.state <> 'WITHDRAWN'
          AND (e.part = c.part OR e.posting_hash IS DISTINCT FROM c.posting_hash)
          AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                          AND u.state = 'CONFIRMED' OFFSET 0)
        LIMIT 1) s ON true
    WHERE s.stands IS NULL
), asked AS (
    SELECT f.entry_id, f.connection_key, f.source_epoch, f.object, f.source_ref, f.verdict_id, f.version, f.outcome,
           f.entity_code, p.period_id, f.project_id, f.part, f.seconds, f.amount, f.currency, f.posting_hash,
           f.release_id, f.correlation_id, l.erp_connection_key AS target_connection, p.work_class, p.deadline_at,
           -- What was agreed for a closed period goes into the next one, under its first day.
           CASE WHEN p.period_id <> f.period_id THEN p.starts_on END AS books_on
    FROM free f
    JOIN legal_entity l ON l.entity_code = f.entity_code
    LEFT JOIN adjustment x ON x.entry_id = f.entry_id AND x.version = f.version AND x.superseded_at IS NULL
    JOIN calendar p ON p.period_id = coalesce(x.booking_period_id, f.period_id)
), numbered AS MATERIALIZED (
    -- Looked up by the entry, whose identity it is: by the identity itself, a server without statistics reads
    -- every effect that there is, for each of them.
    SELECT a.*, 1 + coalesce((
        SELECT max(e.effect_no) FROM (SELECT * FROM effect e WHERE e.entry_id = a.entry_id OFFSET 0) e
        WHERE (e.target_connection, e.noun, e.part) = (a.target_connection, 'time_line', a.part)), 0) AS effect_no
    FROM asked a
), planned AS (
    INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref, target_connection, noun,
        part, effect_no, kind, verdict_id, entry_id, entry_version, verdict_outcome, entity_code, period_id,
        project_id, seconds, amount, currency, posting_hash, work_class, deadline_at, release_id, correlation_id,
        planned_at, books_on)
    SELECT tieline.business_key(connection_key, source_epoch, object, source_ref, target_connection, 'time_line',
                                part, effect_no),
           connection_key, source_epoch, object, source_ref, target_connection, 'time_line', part, effect_no,
           'book', verdict_id, entry_id, version, outcome, entity_code, period_id, project_id, seconds, amount,
           currency, posting_hash, work_class, deadline_at, release_id, correlation_id, %(now)s, books_on
    FROM numbered
    ON CONFLICT DO NOTHING
    RETURNING target_connection, entity_code, period_id, work_class, deadline_at, abs(amount) AS value_at_risk
)
-- Told by scope: of a page there are a few, and a row for each line would be read for its sum alone.
SELECT target_connection, entity_code, period_id, work_class, deadline_at, sum(value_at_risk) AS value_at_risk,
       count(*) AS lines
FROM planned GROUP BY target_connection, entity_code, period_id, work_class, deadline_at
