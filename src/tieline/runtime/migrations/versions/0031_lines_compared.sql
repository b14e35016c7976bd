-- Lines that a target shows otherwise than they were booked, one by one; ``checks`` counts readings in a row.
CREATE TABLE line_check (
    target_connection text NOT NULL REFERENCES connection,
    entity_code   text NOT NULL REFERENCES legal_entity,
    period_id     uuid NOT NULL REFERENCES fiscal_period,
    asked_at      timestamptz NOT NULL,
    lines         bigint NOT NULL,
    PRIMARY KEY (target_connection, entity_code, period_id)
);
CREATE TABLE line_difference (
    target_connection text NOT NULL,
    entity_code   text NOT NULL,
    period_id     uuid NOT NULL,
    thing         text NOT NULL,
    said          text NOT NULL,
    project_id    uuid,
    seconds       bigint NOT NULL,
    amount        numeric,
    currency      text,
    since         timestamptz NOT NULL,
    checks        integer NOT NULL,
    PRIMARY KEY (target_connection, entity_code, period_id, thing, said),
    FOREIGN KEY (target_connection, entity_code, period_id) REFERENCES line_check
);

CREATE OR REPLACE FUNCTION page_check_results(own text[])
RETURNS TABLE (check_name text, subject text, state text, tried_at timestamptz, made_at timestamptz, things bigint,
    took_milliseconds integer, why text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT w.check_name, w.subject, coalesce(c.state, 'not_checked'), c.tried_at, c.made_at, coalesce(c.things, 0),
           coalesce(c.took_milliseconds, 0), coalesce(c.why, 'it was not made yet')
    FROM (
        SELECT unnest(own) AS check_name, '' AS subject
        UNION SELECT 'reconciliation.source_differs', connection_key FROM connection WHERE kind = 'time'
        UNION SELECT of_target.name, erp_connection_key FROM legal_entity
              CROSS JOIN (VALUES ('reconciliation.target_differs'), ('reconciliation.lines_differ'),
                                 ('reconciliation.hours_freed')) of_target (name)
              WHERE in_sight(entity_code)
        UNION SELECT r.check_name, r.subject FROM check_result r
    ) w
    LEFT JOIN check_result c USING (check_name, subject)
    WHERE in_sight(NULL)
    ORDER BY array_position(ARRAY['red', 'not_checked', 'green'], coalesce(c.state, 'not_checked')), 1, 2
$$;
