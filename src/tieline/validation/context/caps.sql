cap_standing AS (
    -- The database keeps it by contract; as it was at another instant it is counted again.
    SELECT s.contract_id, sum(s.amount) AS amount FROM {standing} s
    WHERE s.contract_id IN (SELECT contract_id FROM counted WHERE cap_amount IS NOT NULL)
    GROUP BY s.contract_id
), cap_queue AS (
    -- What stands goes first, then by (work date, source identity): all of an hour of which nothing stands, and what a
    -- changed one comes to more than what stands of it. What was taken back to be booked anew keeps its place, and what
    -- comes to no more than what stands of it takes nothing.
    SELECT c.entry_id, coalesce(sum(CASE WHEN c.standing_count = 0 THEN coalesce(d.amount, c.amount)
                                         ELSE greatest(coalesce(d.amount, c.amount) - c.standing_amount, 0) END) OVER (
        PARTITION BY c.contract_id
        ORDER BY (r.is_returning OR c.standing_count > 0 AND coalesce(d.amount, c.amount) <= c.standing_amount)
                     IS NOT TRUE, c.work_date, c.connection_key COLLATE "C", c.source_epoch, c.object COLLATE "C",
                 c.source_ref COLLATE "C"
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_amount
    FROM counted c
    LEFT JOIN day_billed d ON d.entry_id = c.entry_id
    LEFT JOIN LATERAL ({returning}) r ON true
    WHERE c.cap_amount IS NOT NULL AND c.is_counted AND NOT c.is_posted_unchanged AND c.amount IS NOT NULL
)
