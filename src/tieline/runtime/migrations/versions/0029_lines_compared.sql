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
