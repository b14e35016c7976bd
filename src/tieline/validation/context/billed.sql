day_member AS (
    -- What was posted and is as it was bills what it was booked with, whatever else is told of the day.
    SELECT m.entry_id, m.seconds, m.person_key, m.work_date, m.project_word, m.task_word, m.connection_key, m.source_ref,
           coalesce(c.is_posted_unchanged, m.is_standing) AS is_kept, coalesce(s.billed_seconds, 0) AS booked_seconds
    FROM member m
    LEFT JOIN counted c ON c.entry_id = m.entry_id
    LEFT JOIN LATERAL (
        SELECT sum(coalesce(v.billed_seconds, e.seconds)) AS billed_seconds
        FROM effect e
        CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = e.verdict_id OFFSET 0) v
        WHERE e.entry_id = m.entry_id AND e.noun = 'time_line' AND e.kind = 'book' AND {stands}
          AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                          AND {undone} OFFSET 0)
        OFFSET 0) s ON m.is_standing
    WHERE EXISTS (SELECT FROM billing_terms WHERE rounds_per = 'day')
), day_billed AS (
    -- Where a contract rounds the day, its hours of one task bill together what the day comes to: in the order of the
    -- sources, each what it adds to the rounded sum before it. The first that is not as it was posted takes up what the
    -- others were booked with too much or too little; where all are, the last of them is booked anew.
    SELECT w.entry_id, b.billed_seconds, w.is_kept AND b.billed_seconds <> w.booked_seconds AS is_off,
           CASE WHEN c.is_billable
                THEN round(b.billed_seconds * c.rate_amount / 3600, tieline.currency_digits(c.currency)) END AS amount
    FROM (
        SELECT m.entry_id, m.seconds, m.is_kept, m.booked_seconds,
               (sum(m.seconds) OVER in_turn)::bigint AS through_seconds, row_number() OVER in_turn AS place,
               (coalesce(sum(m.seconds) FILTER (WHERE m.is_kept) OVER of_day, 0))::bigint AS kept_seconds,
               (coalesce(sum(m.booked_seconds) FILTER (WHERE m.is_kept) OVER of_day, 0))::bigint AS kept_booked_seconds,
               count(*) FILTER (WHERE m.is_kept) OVER of_day AS kept_count, count(*) OVER of_day AS day_count
        FROM day_member m
        WINDOW of_day AS (PARTITION BY m.person_key, m.work_date, m.project_word, m.task_word),
               in_turn AS (of_day ORDER BY m.is_kept DESC, m.connection_key COLLATE "C", m.source_ref COLLATE "C",
                           m.entry_id ROWS UNBOUNDED PRECEDING)
    ) w
    JOIN counted c ON c.entry_id = w.entry_id AND c.rounds_per = 'day'
    CROSS JOIN LATERAL (
        SELECT tieline.billed_seconds(w.kept_seconds, c.increment_seconds, c.rounding, c.minimum_seconds)
               - w.kept_booked_seconds AS owed_seconds
    ) o
    CROSS JOIN LATERAL (
        SELECT CASE WHEN w.is_kept THEN w.booked_seconds
                    ELSE tieline.billed_seconds(w.through_seconds, c.increment_seconds, c.rounding, c.minimum_seconds)
                         - tieline.billed_seconds(w.through_seconds - w.seconds, c.increment_seconds, c.rounding,
                                                  c.minimum_seconds) END
               + CASE WHEN w.place = CASE WHEN w.kept_count < w.day_count THEN w.kept_count + 1 ELSE w.kept_count END
                      THEN o.owed_seconds ELSE 0 END AS billed_seconds
    ) b
)
