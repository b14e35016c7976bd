cap_standing AS (
    SELECT v.contract_id, sum(e.amount) AS amount
    FROM project p
    CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.project_id = p.project_id OFFSET 0) e
    CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = e.verdict_id OFFSET 0) v
    WHERE p.contract_id IN (SELECT contract_id FROM counted WHERE cap_amount IS NOT NULL)
      AND e.noun = 'time_line' AND e.kind = 'book'
      AND {stands}
      AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                      AND {undone} OFFSET 0)
    GROUP BY v.contract_id
), cap_queue AS (
    -- What stands goes first, then by (work date, source identity).
    SELECT c.entry_id, coalesce(sum(coalesce(d.amount, c.amount)) OVER (
        PARTITION BY c.contract_id
        ORDER BY c.work_date, c.connection_key COLLATE "C", c.source_epoch, c.object COLLATE "C",
                 c.source_ref COLLATE "C"
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_amount
    FROM counted c
    LEFT JOIN day_billed d ON d.entry_id = c.entry_id
    WHERE c.cap_amount IS NOT NULL AND c.is_counted AND c.standing_count = 0 AND c.amount IS NOT NULL
)
