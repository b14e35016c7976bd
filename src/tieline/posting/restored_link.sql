-- Give a line that stands its effect: the one that was planned for it, or a new one under its own number.
INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref, target_connection, noun,
    part, effect_no, kind, verdict_id, entry_id, entry_version, verdict_outcome, entity_code, period_id,
    project_id, seconds, amount, currency, posting_hash, work_class, deadline_at, release_id, correlation_id,
    planned_at, books_on)
SELECT k.business_key, t.connection_key, t.source_epoch, t.object, t.source_ref, %(target)s, 'time_line', k.part,
       k.effect_no, 'book', v.verdict_id, t.entry_id, v.version, v.outcome, v.entity_code, p.period_id,
       v.project_id, o.seconds, o.amount, v.currency,
       -- What stands with another length is not what the verdict asks for: it is corrected afterwards.
       CASE WHEN k.seconds = o.seconds THEN v.posting_hash
            ELSE convert_to('stands:' || k.seconds, 'UTF8') END,
       1, p.cut_off_at, v.release_id, v.correlation_id, %(now)s, k.books_on
FROM unnest(%(keys)s::uuid[], %(numbers)s::int[], %(verdict_ids)s::bigint[], %(seconds)s::int[],
            %(periods)s::uuid[], %(days)s::date[], %(parts)s::text[])
    AS k (business_key, effect_no, verdict_id, seconds, period_id, books_on, part)
JOIN verdict v ON v.verdict_id = k.verdict_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN k.part = 'capped' THEN v.capped_seconds ELSE v.seconds - coalesce(v.capped_seconds, 0) END
               AS seconds, CASE WHEN k.part = 'capped' THEN 0 ELSE v.amount END AS amount
) o
JOIN fiscal_period p ON p.period_id = k.period_id
JOIN time_entry t ON t.entry_id = v.entry_id
ON CONFLICT (business_key) DO UPDATE SET verdict_id = excluded.verdict_id,
    entry_version = excluded.entry_version, verdict_outcome = excluded.verdict_outcome,
    period_id = excluded.period_id, project_id = excluded.project_id, seconds = excluded.seconds,
    amount = excluded.amount, currency = excluded.currency, posting_hash = excluded.posting_hash,
    release_id = excluded.release_id, books_on = excluded.books_on
