-- Every measure by month and legal entity; durations as median and p90. No samples, no row.
WITH durations AS (
    SELECT 'setup_time' AS measure, '' AS queue, coalesce(entity_code, '') AS entity_code,
           date_trunc('month', won_at AT TIME ZONE 'UTC')::date AS month_on, 'hours' AS unit,
           extract(epoch FROM active_at - won_at) / 3600 AS value
    FROM provisioning_plan WHERE won_at IS NOT NULL AND active_at >= won_at
    UNION ALL
    SELECT 'approval_to_erp', '', l.entity_code, date_trunc('month', l.work_date)::date, 'hours',
           extract(epoch FROM l.booked_at - v.approved_at) / 3600
    FROM ledger_line l JOIN time_entry_version v ON (v.entry_id, v.version) = (l.entry_id, l.entry_version)
    WHERE l.reverses_line_id IS NULL AND v.approved_at <= l.booked_at
    UNION ALL
    SELECT 'landing_to_erp', '', l.entity_code, date_trunc('month', l.work_date)::date, 'hours',
           extract(epoch FROM l.booked_at - v.recorded_at) / 3600
    FROM ledger_line l JOIN time_entry_version v ON (v.entry_id, v.version) = (l.entry_id, l.entry_version)
    WHERE l.reverses_line_id IS NULL AND v.recorded_at <= l.booked_at
    UNION ALL
    SELECT 'invoice_time', '', i.entity_code, date_trunc('month', p.starts_on)::date, 'days',
           extract(epoch FROM i.recorded_at - timezone(e.zone, p.ends_on::timestamp)) / 86400
    FROM invoice_record i JOIN fiscal_period p USING (period_id)
    JOIN legal_entity e ON e.entity_code = i.entity_code
    UNION ALL
    SELECT 'exception_time', owner_queue || ' ', coalesce(entity_code, ''),
           date_trunc('month', opened_at AT TIME ZONE 'UTC')::date, 'hours',
           extract(epoch FROM closed_at - opened_at) / 3600
    FROM case_file WHERE closed_at IS NOT NULL
), shares AS (
    -- weight is what counts, good is the part of it that the measure is about.
    SELECT 'correction_rate' AS measure, coalesce(v.entity_code, '') AS entity_code,
           date_trunc('month', v.work_date)::date AS month_on, 1::numeric AS weight,
           (SELECT count(DISTINCT w.material_hash) > 1 FROM time_entry_version w
            WHERE w.entry_id = t.entry_id AND w.approval = 'approved')::int::numeric AS good
    FROM time_entry t JOIN verdict v USING (verdict_id)
    WHERE v.work_date IS NOT NULL AND v.outcome <> 'outside'
    UNION ALL
    SELECT 'first_pass_rate', coalesce(f.entity_code, ''), date_trunc('month', f.work_date)::date, 1,
           (f.outcome IN ('cleared', 'correct'))::int
    FROM (SELECT DISTINCT ON (entry_id) entry_id, entity_code, work_date, outcome FROM verdict
          WHERE outcome NOT IN ('outside', 'excluded') AND work_date IS NOT NULL
          ORDER BY entry_id, verdict_id) f
    UNION ALL
    SELECT 'cut_off_hit_rate', l.entity_code, date_trunc('month', p.starts_on)::date, l.seconds,
           CASE WHEN l.booked_at < p.cut_off_at THEN l.seconds ELSE 0 END
    FROM ledger_line l JOIN fiscal_period p USING (period_id) WHERE l.reverses_line_id IS NULL
    UNION ALL
    SELECT 'reversal_rate', l.entity_code, date_trunc('month', l.work_date)::date,
           CASE WHEN l.reverses_line_id IS NULL THEN 1 ELSE 0 END,
           CASE WHEN l.reverses_line_id IS NULL THEN 0 ELSE 1 END
    FROM ledger_line l
)
INSERT INTO measure_value (measure, variant, entity_code, month_on, value, unit, sample_count, as_of)
SELECT measure, queue || 'median', entity_code, month_on,
       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY value))::numeric, 4), unit, count(*), %(now)s
FROM durations GROUP BY measure, queue, entity_code, month_on, unit
UNION ALL
SELECT measure, queue || 'p90', entity_code, month_on,
       round((percentile_cont(0.9) WITHIN GROUP (ORDER BY value))::numeric, 4), unit, count(*), %(now)s
FROM durations GROUP BY measure, queue, entity_code, month_on, unit
UNION ALL
SELECT measure, 'all', entity_code, month_on, round(sum(good) / nullif(sum(weight), 0), 4), 'share', count(*), %(now)s
FROM shares GROUP BY measure, entity_code, month_on
HAVING sum(weight) > 0
