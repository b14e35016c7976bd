-- Line by line: what was booked and not taken back beside what stands. What was confirmed after the reading began, or
-- is being taken back, is left for the next reading; where a document of its own takes back, the line goes on
-- standing. A line of others counts where it stands on a task of ours and no file for loading is under way. An hour
-- is free of its invoice where that invoice still bills it (``billing`` names those that do); what was billed by amounts
-- of ours stands on none there.
CREATE TEMP TABLE compared_line ON COMMIT DROP AS
WITH theirs AS (
    SELECT business_key, count(*) AS lines, min(content_hash) AS content_hash, min(invoice_code) AS invoice_code,
           sum(seconds) AS seconds
    FROM standing_line WHERE business_key IS NOT NULL GROUP BY 1
), ours AS (
    SELECT l.business_key, l.project_id, l.target_seconds, l.amount, l.currency,
           coalesce(e.stored_hash, CASE WHEN e.reason IS DISTINCT FROM 'posted.altered_by_target' THEN e.payload_hash END)
               AS content_hash, u.state AS undone,
           coalesce(e.settled_at > %(began_at)s, false) AS is_newer, r.target_code AS invoice_code, r.is_from_ledger
    FROM ledger_line l
    JOIN effect e ON e.business_key = l.business_key
    LEFT JOIN effect u ON u.undoes_key = l.business_key AND u.kind = 'void' AND u.state <> 'WITHDRAWN'
    LEFT JOIN invoice_ledger_line i ON i.business_key = l.business_key
    LEFT JOIN invoice_record r ON r.invoice_id = i.invoice_id
    WHERE l.reverses_line_id IS NULL AND l.target_connection = %(target)s AND l.entity_code = %(entity_code)s
      AND ((l.work_date >= %(starts_on)s AND l.work_date < %(ends_on)s)
           OR l.business_key IN (SELECT business_key FROM theirs))
), told AS (
    SELECT o.business_key::text AS thing, o.project_id, o.amount, o.currency,
           abs(coalesce(t.seconds, 0) - CASE WHEN o.undone = 'CONFIRMED' THEN 0 ELSE o.target_seconds END) AS seconds,
           CASE
               WHEN o.undone = 'CONFIRMED' AND t.lines > 0 AND %(is_voided)s THEN 'lines that were taken back stand again'
               WHEN o.undone IS NOT NULL OR o.is_newer THEN NULL
               WHEN t.lines IS NULL THEN 'lines are gone'
               WHEN t.lines > 1 THEN 'lines stand more than once'
               WHEN t.content_hash <> o.content_hash THEN 'lines were changed'
               WHEN o.is_from_ledger AND o.invoice_code = ANY (%(billing)s::text[]) THEN CASE
                   WHEN t.invoice_code IS NOT NULL THEN 'hours that we billed by amounts stand on an invoice of their own' END
               WHEN o.invoice_code IS DISTINCT FROM t.invoice_code AND o.invoice_code = ANY (%(billing)s::text[])
                   THEN 'hours were freed from an invoice that still bills them'
           END AS said
    FROM ours o LEFT JOIN theirs t USING (business_key)
    UNION ALL
    SELECT 'line ' || s.target_code, j.project_id, NULL, NULL, abs(s.seconds), 'lines of others stand on our tasks'
    FROM standing_line s
    JOIN LATERAL (
        SELECT min(p.project_id::text)::uuid AS project_id FROM crosswalk x
        JOIN contract_line c ON c.contract_line_id = x.our_id
        JOIN project p ON p.contract_id = c.contract_id AND x.scope IN ('', p.project_id::text)
            AND p.entity_code = %(entity_code)s
        WHERE x.connection_key = %(target)s AND x.noun = 'erp_task' AND x.source_ref = s.task_code
    ) j ON j.project_id IS NOT NULL
    WHERE NOT EXISTS (SELECT FROM effect e WHERE e.business_key = s.business_key
                      AND (e.attempt > 0 OR e.state IN ('HANDED_OVER', 'CONFIRMED')))
      AND NOT EXISTS (SELECT FROM import_file f WHERE f.state = 'open' AND f.target_connection = %(target)s
                      AND f.entity_code = %(entity_code)s)
)
SELECT thing, said, min(project_id::text)::uuid AS project_id, sum(seconds)::bigint AS seconds, max(amount) AS amount,
       max(currency) AS currency
FROM told WHERE said IS NOT NULL GROUP BY 1, 2
