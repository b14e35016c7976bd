-- Month end: what a period's hours are worth that are not in the ERP, and periods that were opened again.

-- Who opened it again stands in changed_by; why and until when beside it. Nothing moves back by itself.
ALTER TABLE fiscal_period_state ADD COLUMN because text, ADD COLUMN until_on date;

CREATE FUNCTION note_reopening(opened uuid, why text, last_day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
BEGIN
    UPDATE fiscal_period_state s SET because = why, until_on = last_day
    FROM fiscal_period p
    WHERE p.period_id = opened AND s.period_id = p.period_id AND s.superseded_at IS NULL AND s.state = 'open'
      AND (session_user <> 'tieline_web' OR visible_entity(p.entity_code));
END $$;

-- What came into or left a period since it was opened again, against what was reported of it.
CREATE FUNCTION page_reopened()
RETURNS TABLE (period_id uuid, entity_code text, period_code text, opened_at timestamptz, opened_by text, because text,
    until_on date, currency text, lines bigint, seconds bigint, amount numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT p.period_id, p.entity_code, p.period_code, s.recorded_at, s.changed_by, s.because, s.until_on, l.currency,
           count(l.line_id), coalesce(sum(l.seconds), 0)::bigint, sum(l.amount)
    FROM fiscal_period p
    JOIN fiscal_period_state s ON s.period_id = p.period_id AND s.superseded_at IS NULL AND s.state = 'open'
    LEFT JOIN ledger_line l ON l.period_id = p.period_id AND l.booked_at >= s.recorded_at
    WHERE p.state = 'open' AND (session_user <> 'tieline_web' OR visible_entity(p.entity_code))
      AND EXISTS (SELECT FROM fiscal_period_state c WHERE c.period_id = p.period_id AND c.state = 'closed')
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY p.period_code DESC, p.entity_code, l.currency
$$;

-- The approved hours of a period by where they are, less what stands of them in the ERP: what an accrual has to bring.
-- approved_seconds adds up with the tie-out; an hour that leaves has none of it, and still stands there.
CREATE FUNCTION page_accruals(asked uuid)
RETURNS TABLE (entity_code text, period_code text, currency text, project_code text, contract_code text,
    labor_category text, place text, entries bigint, approved_seconds bigint, standing_seconds bigint, amount numeric,
    unpriced_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT p.entity_code, f.period_code, x.currency, j.project_code, k.contract_code, coalesce(v.labor_category, ''),
           p.place, count(*), sum(x.approved)::bigint, sum(x.standing)::bigint,
           sum(x.value - x.standing_value), coalesce(sum(x.approved) FILTER (WHERE x.value IS NULL), 0)::bigint
    FROM entry_place p
    JOIN fiscal_period f ON f.period_id = p.period_id
    LEFT JOIN verdict v ON v.verdict_id = p.verdict_id
    LEFT JOIN project j ON j.project_id = p.project_id
    LEFT JOIN contract k ON k.contract_id = p.contract_id
    LEFT JOIN LATERAL (
        SELECT sum(l.seconds) AS seconds, sum(l.amount) AS amount, min(l.currency) AS currency
        FROM ledger_line l WHERE l.entry_id = p.entry_id
    ) s ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN p.place = 'leaving' THEN 0 ELSE p.seconds END AS approved, coalesce(s.seconds, 0) AS standing,
               CASE WHEN p.place = 'leaving' OR v.is_billable IS FALSE THEN 0 ELSE v.amount END AS value,
               coalesce(s.amount, 0) AS standing_value, coalesce(v.currency, s.currency) AS currency
    ) x
    WHERE p.period_id = asked AND p.place IN ('pending', 'held', 'handed_over', 'leaving')
      AND (session_user <> 'tieline_web' OR visible_entity(p.entity_code))
    GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY x.currency, j.project_code, k.contract_code, 6, p.place
$$;
-- The same from the other side: what the source's approved hours are, less what is in the ERP and what was left out.
CREATE FUNCTION page_outside_erp(asked uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT coalesce(sum(w.seconds) FILTER (WHERE NOT w.is_deleted AND w.approval <> 'not_approved'
                                             AND v.outcome IS DISTINCT FROM 'outside'), 0)::bigint
           - coalesce(sum(p.seconds) FILTER (WHERE p.place IN ('posted', 'excluded')), 0)::bigint
    FROM entry_place p
    JOIN time_entry_version w ON w.entry_id = p.entry_id AND w.is_newest
    LEFT JOIN verdict v ON v.verdict_id = p.verdict_id AND v.version = w.version
    WHERE p.period_id = asked AND (session_user <> 'tieline_web' OR visible_entity(p.entity_code))
$$;
REVOKE ALL ON FUNCTION page_outside_erp(uuid), note_reopening(uuid, text, date), page_reopened(), page_accruals(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_outside_erp(uuid), note_reopening(uuid, text, date), page_reopened(), page_accruals(uuid)
    TO tieline_web, tieline_worker;
