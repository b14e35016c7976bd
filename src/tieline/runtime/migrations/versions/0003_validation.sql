CREATE INDEX verdict_neighbor_keys ON verdict USING gin (neighbor_keys);

-- The effect that stands, or is on its way, for each hour; a booking that was taken back is neither.
CREATE VIEW standing_effect AS
SELECT e.entry_id, e.business_key, e.state, e.posting_hash, e.seconds, e.entity_code, e.project_id
FROM effect e
WHERE e.noun = 'time_line' AND e.kind = 'book'
  AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'ABSENT', 'CONFIRMED', 'CONFLICT')
  AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                  AND u.state = 'CONFIRMED');

-- Law 1: every hour of the population is in exactly one place; 'outside' is shown apart.
CREATE VIEW entry_place AS
SELECT t.entry_id, t.connection_key, v.entity_code, v.project_id, v.contract_id, v.period_id, w.seconds,
       w.work_date, v.verdict_id,
       CASE
           WHEN w.is_deleted OR w.approval = 'not_approved'
               THEN CASE WHEN s.entry_id IS NOT NULL THEN 'leaving' ELSE 'outside' END
           WHEN h.entry_id IS NOT NULL THEN 'handed_over'
           WHEN v.verdict_id IS NULL THEN 'pending'
           WHEN v.outcome = 'outside' THEN 'outside'
           WHEN v.outcome = 'excluded' THEN 'excluded'
           WHEN v.outcome = 'held' THEN 'held'
           WHEN v.outcome = 'parked' THEN 'pending'
           WHEN r.entry_id IS NOT NULL THEN 'held'
           WHEN s.state = 'CONFIRMED' AND s.posting_hash IS NOT DISTINCT FROM v.posting_hash THEN 'posted'
           ELSE 'pending'
       END AS place
FROM time_entry t
JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
LEFT JOIN verdict v ON v.verdict_id = t.verdict_id AND v.version = t.newest_version
LEFT JOIN handed_over h ON h.entry_id = t.entry_id AND h.released_at IS NULL
LEFT JOIN LATERAL (
    SELECT s.entry_id, s.state, s.posting_hash FROM standing_effect s WHERE s.entry_id = t.entry_id
    ORDER BY s.state = 'CONFIRMED' DESC LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    SELECT e.entry_id FROM effect e
    WHERE e.entry_id = t.entry_id AND e.state IN ('REJECTED', 'CONFLICT') LIMIT 1
) r ON true;
GRANT SELECT ON standing_effect, entry_place TO tieline_worker, tieline_judge;

CREATE FUNCTION currency_digits(currency text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND',
                          'VUV', 'XAF', 'XOF', 'XPF') THEN 0
        WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
        ELSE 2 END
$$;

-- What must be equal for a line that stands to be the line that is asked for.
CREATE FUNCTION posting_hash(entity_code text, person_id uuid, project_id uuid, task_id uuid, labor_category text,
    contract_line_id uuid, work_date date, seconds integer, is_billable boolean)
RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256(tieline.key_part(coalesce(entity_code, '')) || tieline.key_part(coalesce(person_id::text, ''))
        || tieline.key_part(coalesce(project_id::text, '')) || tieline.key_part(coalesce(task_id::text, ''))
        || tieline.key_part(coalesce(labor_category, '')) || tieline.key_part(coalesce(contract_line_id::text, ''))
        || tieline.key_part(coalesce(to_char(work_date, 'YYYY-MM-DD'), '')) || tieline.key_part(seconds::text)
        || tieline.key_part(coalesce(is_billable::text, '')))
$$;

-- A batch's own marks are served by its judge alone; marks of changed references by whoever comes.
ALTER TABLE rejudge ADD COLUMN batch_id bigint;
CREATE INDEX rejudge_batch ON rejudge (batch_id);
