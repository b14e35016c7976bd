-- What cases are worth per owner and currency; an hour in two cases of one owner counts once.
SELECT owner, currency, coalesce(sum(amount), 0) AS amount, coalesce(sum(seconds), 0)::bigint AS seconds
FROM (
    SELECT DISTINCT ON (o.owner, coalesce(m.entry_id::text, m.member_key)) o.owner, p.currency, p.amount, m.seconds
    FROM unnest(%(case_ids)s::uuid[], %(owners)s::text[]) AS o (case_id, owner)
    JOIN case_member m ON m.case_id = o.case_id AND m.left_at IS NULL
    CROSS JOIN LATERAL (
        SELECT CASE WHEN m.basis <> 'cost' THEN m.currency END AS currency,
               CASE WHEN m.basis <> 'cost' THEN m.amount END AS amount
    ) p
    ORDER BY o.owner, coalesce(m.entry_id::text, m.member_key), p.currency NULLS LAST
) once
GROUP BY owner, currency ORDER BY owner, currency
