-- How often a target was asked about a write since it was last sent.
ALTER TABLE effect ADD COLUMN times_asked integer NOT NULL DEFAULT 0;
CREATE FUNCTION effect_counts_questions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.times_asked := CASE WHEN NEW.state = 'PROBING' THEN OLD.times_asked + 1 ELSE 0 END;
    RETURN NEW;
END $$;
CREATE TRIGGER effect_counts_questions BEFORE UPDATE ON effect FOR EACH ROW
    WHEN (NEW.state IN ('PROBING', 'INTENT') AND OLD.state <> NEW.state) EXECUTE FUNCTION effect_counts_questions();

-- Writes whose outcome nobody knows yet, or that a person must decide, in the caller's sight: one row per legal
-- entity, target, noun, state, reason and currency.
CREATE FUNCTION page_unconfirmed(asked_entity text, asked_period text, asked_case uuid, row_limit integer)
RETURNS TABLE (entity_code text, target_connection text, system text, noun text, state text, zone text, reason text,
    writes integer, asked integer, sent_at timestamptz, last_sent_at timestamptz, due_at timestamptz, seconds bigint,
    amount numeric, currency text, deadline_at timestamptz, business_key uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT e.entity_code, e.target_connection, c.system, e.noun, e.state, coalesce(l.zone, 'UTC'), max(e.reason),
           count(*)::int, max(e.times_asked), min(e.sent_at), max(e.sent_at), min(e.due_at), sum(e.seconds)::bigint,
           sum(e.amount), e.currency, min(e.deadline_at),
           (array_agg(e.business_key ORDER BY e.sent_at, e.business_key))[1]
    FROM effect e
    JOIN connection c ON c.connection_key = e.target_connection
    LEFT JOIN legal_entity l ON l.entity_code = e.entity_code
    WHERE e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFLICT') AND in_sight(e.entity_code)
      AND (asked_entity IS NULL OR e.entity_code = asked_entity)
      AND (asked_period IS NULL OR EXISTS (SELECT FROM fiscal_period p
           WHERE p.period_id = e.period_id AND p.period_code = asked_period))
      AND (asked_case IS NULL OR EXISTS (SELECT FROM case_member m
           WHERE m.case_id = asked_case AND m.left_at IS NULL
             AND (m.entry_id = e.entry_id OR m.member_key = e.business_key::text)))
    GROUP BY e.entity_code, e.target_connection, c.system, e.noun, e.state, l.zone, e.currency, e.kind,
             CASE WHEN e.state = 'CONFLICT' THEN e.reason END
    ORDER BY min(e.deadline_at) NULLS LAST, min(e.sent_at), e.entity_code, e.target_connection, e.noun
    LIMIT row_limit
$$;
REVOKE ALL ON FUNCTION page_unconfirmed(text, text, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_unconfirmed(text, text, uuid, integer) TO tieline_web, tieline_worker, tieline_judge;
