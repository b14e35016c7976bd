cap_standing AS (
    SELECT v.contract_id, sum(e.amount) AS amount
    FROM effect e
    JOIN verdict v ON v.verdict_id = e.verdict_id
    WHERE e.project_id IN (SELECT p.project_id FROM project p WHERE p.contract_id IN (
              SELECT contract_id FROM counted WHERE cap_amount IS NOT NULL))
      AND e.noun = 'time_line' AND e.kind = 'book'
      AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT', 'HANDED_OVER')
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND u.state = 'CONFIRMED')
    GROUP BY v.contract_id
), cap_queue AS (
    -- What stands goes first, then by (work date, source identity).
    SELECT entry_id, coalesce(sum(amount) OVER (
        PARTITION BY contract_id
        ORDER BY work_date, connection_key COLLATE "C", source_epoch, object COLLATE "C", source_ref COLLATE "C"
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_amount
    FROM counted
    WHERE cap_amount IS NOT NULL AND is_counted AND standing_count = 0 AND amount IS NOT NULL
)
