-- From urgent_from on, work for a period is of the class cut-off, until grace_until: so long hours that come late
-- are still taken in. Where nobody said otherwise, a day before the cut-off, and no grace.
ALTER TABLE fiscal_period
    ADD COLUMN urgent_from timestamptz,
    ADD COLUMN grace_until timestamptz,
    ADD CHECK (urgent_from <= cut_off_at),
    ADD CHECK (grace_until >= cut_off_at);

CREATE FUNCTION cut_off_class(p fiscal_period, p_now timestamptz) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_now >= coalesce(p.urgent_from, p.cut_off_at - interval '24 hours')
                 AND p_now < coalesce(p.grace_until, p.cut_off_at) THEN 0 ELSE 1 END::smallint
$$;
-- The instant that work for a period is due by: the cut-off, and in its grace the end of that.
CREATE FUNCTION cut_off_deadline(p fiscal_period, p_now timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_now < p.cut_off_at THEN p.cut_off_at ELSE coalesce(p.grace_until, p.cut_off_at) END
$$;

ALTER TABLE work_item ADD COLUMN value_at_risk numeric NOT NULL DEFAULT 0;
GRANT INSERT (value_at_risk), UPDATE (value_at_risk) ON work_item TO tieline_web;
CREATE INDEX work_item_order ON work_item (kind, work_class, deadline, value_at_risk DESC, due_at) WHERE state = 'waiting';
CREATE INDEX work_item_oldest ON work_item (kind, work_class, due_at) WHERE state = 'waiting';

-- Within a scope what was begun is ended first. Then the lines that are due first and worth most, equal ones in
-- the order of their plan.
DROP INDEX effect_scope;
CREATE INDEX effect_scope
    ON effect (target_connection, entity_code, period_id, (attempt = 0), deadline_at,
               amount DESC NULLS LAST, planned_at, business_key)
    WHERE noun = 'time_line' AND state NOT IN ('CONFIRMED', 'REJECTED', 'WITHDRAWN');
