-- Lines of one deadline go in the order in which they were planned. By key alone, a line that has to be sent
-- again is overtaken by new ones for as long as there is a backlog.
DROP INDEX effect_scope;
CREATE INDEX effect_scope
    ON effect (target_connection, entity_code, period_id, work_class, deadline_at, planned_at, business_key)
    WHERE noun = 'time_line' AND state NOT IN ('CONFIRMED', 'REJECTED', 'WITHDRAWN');
