-- What a plan just made of these hours, by what happens: sent, taken back, or not sent any more.
SELECT x.what, x.currency, count(*)::int AS lines, sum(abs(x.seconds))::bigint AS seconds,
       coalesce(sum(abs(x.amount)), 0) AS amount
FROM (
    SELECT CASE e.kind WHEN 'void' THEN 'taken_back' ELSE 'sent' END AS what, e.currency, e.seconds, e.amount
    FROM effect e
    WHERE e.entry_id = ANY (%(entry_ids)s) AND e.noun = 'time_line' AND e.state = 'PLANNED'
      AND NOT e.business_key = ANY (%(on_their_way)s)
    UNION ALL
    SELECT 'not_sent', e.currency, e.seconds, e.amount FROM effect e
    WHERE e.business_key = ANY (%(waiting)s) AND e.state = 'WITHDRAWN'
) x GROUP BY 1, 2 ORDER BY 1, 2
