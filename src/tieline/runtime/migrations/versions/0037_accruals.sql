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

-- The approved hours of a period that are not in the ERP as they are now, less what stands of them there: what an
-- accrual has to bring. What stands counts where it was booked, in its own period and currency: an hour that moved
-- away is taken back there. approved_seconds adds up with the tie-out. While nobody knows what an hour is worth
-- now, what stands of it in its own period says nothing either.
CREATE FUNCTION page_accruals(asked uuid)
RETURNS TABLE (entity_code text, period_code text, currency text, project_code text, contract_code text,
    labor_category text, place text, entries bigint, approved_seconds bigint, standing_seconds bigint, amount numeric,
    unpriced_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    WITH outside AS (
        SELECT p.entry_id, p.place, p.seconds, p.entity_code, p.period_id, p.project_id, v.contract_id, v.currency,
               coalesce(v.labor_category, '') AS labor_category,
               CASE WHEN v.is_billable IS FALSE THEN 0 ELSE v.amount END AS value
        FROM entry_place p LEFT JOIN verdict v ON v.verdict_id = p.verdict_id
        WHERE p.place IN ('pending', 'held', 'handed_over', 'leaving') AND p.entry_id IN (
            SELECT t.entry_id FROM time_entry t JOIN verdict n USING (verdict_id) WHERE n.period_id = asked
            UNION SELECT l.entry_id FROM ledger_line l WHERE l.period_id = asked)
    ), standing AS (
        SELECT o.entry_id, o.place, l.entity_code, l.project_id, l.contract_id, l.currency, l.labor_category,
               o.place <> 'leaving' AND o.period_id = l.period_id AND o.value IS NULL AS is_unknown,
               sum(l.seconds) AS seconds, sum(l.amount) AS amount
        FROM outside o JOIN ledger_line l ON l.entry_id = o.entry_id
        WHERE l.period_id = asked
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING sum(l.seconds) <> 0 OR sum(l.amount) <> 0
    ), part AS (
        SELECT entry_id, place, entity_code, project_id, contract_id, currency, labor_category, seconds AS approved,
               0 AS standing, value AS amount, CASE WHEN value IS NULL THEN seconds ELSE 0 END AS unpriced
        FROM outside WHERE period_id = asked AND place <> 'leaving'
        UNION ALL
        SELECT entry_id, place, entity_code, project_id, contract_id, currency, labor_category, 0, seconds,
               CASE WHEN NOT is_unknown THEN -amount END, 0
        FROM standing
    )
    SELECT x.entity_code, f.period_code, x.currency, j.project_code, k.contract_code, x.labor_category, x.place,
           count(DISTINCT x.entry_id), sum(x.approved)::bigint, sum(x.standing)::bigint, sum(x.amount),
           sum(x.unpriced)::bigint
    FROM part x
    JOIN fiscal_period f ON f.period_id = asked
    LEFT JOIN project j ON j.project_id = x.project_id
    LEFT JOIN contract k ON k.contract_id = x.contract_id
    WHERE session_user <> 'tieline_web' OR visible_entity(x.entity_code)
    GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY x.currency, j.project_code, k.contract_code, 6, x.place
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
