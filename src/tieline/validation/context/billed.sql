day_billed AS (
    -- Where a contract rounds the day, each hour of one task bills what it adds to the rounded sum before it:
    -- what stands comes first, then the order of the sources.
    SELECT w.entry_id, b.billed_seconds,
           CASE WHEN c.is_billable
                THEN round(b.billed_seconds * c.rate_amount / 3600, tieline.currency_digits(c.currency)) END AS amount
    FROM (
        SELECT m.entry_id, m.seconds, (sum(m.seconds) OVER (
                   PARTITION BY m.person_key, m.work_date, m.project_word, m.task_word
                   ORDER BY m.is_standing DESC, m.connection_key COLLATE "C", m.source_ref COLLATE "C", m.entry_id
                   ROWS UNBOUNDED PRECEDING))::bigint AS through_seconds
        FROM member m
        WHERE EXISTS (SELECT FROM billing_terms WHERE rounds_per = 'day')
    ) w
    JOIN counted c ON c.entry_id = w.entry_id AND c.rounds_per = 'day'
    CROSS JOIN LATERAL (
        SELECT tieline.billed_seconds(w.through_seconds, c.increment_seconds, c.rounding, c.minimum_seconds)
             - tieline.billed_seconds(w.through_seconds - w.seconds, c.increment_seconds, c.rounding,
                                      c.minimum_seconds) AS billed_seconds
    ) b
)
