-- What a company booked in its own books for its people's work on another's projects, as finance tells it: the whole
-- amount of the home company's period that starts_on lies in. The product writes no such leg; it holds what is told
-- against what the hours in the ledger come to.
CREATE TABLE intercompany_booking (
    intercompany_booking_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    home_entity_code text NOT NULL REFERENCES legal_entity,
    project_entity_code text NOT NULL REFERENCES legal_entity CHECK (project_entity_code <> home_entity_code),
    currency      text NOT NULL,
    amount        numeric NOT NULL,
    document_code text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (
        textrange(home_entity_code || '>' || project_entity_code || '|' || currency,
                  home_entity_code || '>' || project_entity_code || '|' || currency, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);

-- Both legs of the work of one company's people for another, by the home company's period and currency, seen by both.
-- state: both (the same amount stands on both sides), waiting (it may still come), one_leg (a period of either company
-- is closed, cut off or missing, and the sides differ), not_checked (the home company has told of no booking at all).
CREATE FUNCTION page_legs(period text, at timestamptz)
RETURNS TABLE (part text, home_entity_code text, project_entity_code text, home_period_code text,
    home_period_state text, project_period_code text, project_period_state text, currency text, hours bigint,
    seconds bigint, amount numeric, unpriced bigint, booked_amount numeric, document_code text, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    WITH owed AS (
        SELECT l.home_entity_code, l.project_entity_code, coalesce(l.home_period_code, '') AS home_period_code,
               coalesce(l.currency, '') AS currency, l.project_period_code, bool_and(l.project_period_state = 'closed')
                   AS is_closed, count(DISTINCT l.entry_id) AS hours, sum(l.seconds) AS seconds, sum(l.amount) AS amount,
               count(*) FILTER (WHERE l.amount IS NULL) AS unpriced
        FROM expected_leg l
        WHERE in_sight(l.home_entity_code) OR in_sight(l.project_entity_code)
        GROUP BY 1, 2, 3, 4, 5
    ), expected AS (
        SELECT home_entity_code, project_entity_code, home_period_code, currency,
               string_agg(project_period_code, ', ' ORDER BY project_period_code) AS project_period_code,
               array_agg(project_period_code) AS project_periods, bool_and(is_closed) AS is_closed,
               sum(hours)::bigint AS hours, sum(seconds)::bigint AS seconds, sum(amount) AS amount,
               sum(unpriced)::bigint AS unpriced
        FROM owed GROUP BY 1, 2, 3, 4
    ), told AS (
        SELECT b.home_entity_code, b.project_entity_code, coalesce(p.period_code, '') AS home_period_code, b.currency,
               sum(b.amount) AS amount, string_agg(b.document_code, ', ' ORDER BY b.document_code) AS document_code
        FROM intercompany_booking b
        LEFT JOIN fiscal_period p ON p.entity_code = b.home_entity_code
            AND b.starts_on >= p.starts_on AND b.starts_on < p.ends_on
        WHERE b.superseded_at IS NULL AND (in_sight(b.home_entity_code) OR in_sight(b.project_entity_code))
        GROUP BY 1, 2, 3, 4
    ), side AS (
        SELECT home_entity_code, project_entity_code, home_period_code, currency, x.project_period_code,
               coalesce(x.project_periods, '{}') AS project_periods, coalesce(x.is_closed, false) AS is_closed,
               coalesce(x.hours, 0) AS hours, coalesce(x.seconds, 0) AS seconds, x.amount,
               coalesce(x.unpriced, 0) AS unpriced, t.amount AS booked_amount, t.document_code
        FROM expected x
        FULL JOIN told t USING (home_entity_code, project_entity_code, home_period_code, currency)
    )
    SELECT 'leg:' || s.home_entity_code, s.home_entity_code, s.project_entity_code, nullif(s.home_period_code, ''), h.state,
           coalesce(s.project_period_code, ''), CASE WHEN s.is_closed THEN 'closed' ELSE 'open' END,
           nullif(s.currency, ''), s.hours, s.seconds, s.amount, s.unpriced, s.booked_amount, s.document_code,
           CASE WHEN NOT EXISTS (SELECT FROM intercompany_booking b WHERE b.home_entity_code = s.home_entity_code)
                    THEN 'not_checked'
                -- Hours without a price are worth an amount that nobody knows: no booking is the same.
                WHEN s.unpriced = 0 AND coalesce(s.amount, 0) = coalesce(s.booked_amount, 0) THEN 'both'
                WHEN h.period_id IS NULL OR h.state = 'closed' OR h.cut_off_at <= at OR s.is_closed THEN 'one_leg'
                ELSE 'waiting' END
    FROM side s
    LEFT JOIN fiscal_period h ON h.entity_code = s.home_entity_code AND h.period_code = s.home_period_code
    WHERE period IS NULL OR period = s.home_period_code OR period = ANY (s.project_periods)
    ORDER BY 2, 3, 4, 8
$$;
REVOKE ALL ON FUNCTION page_legs(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_legs(text, timestamptz) TO tieline_web, tieline_worker;
