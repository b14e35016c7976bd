-- What the last steps of hand-overs took at each system: forecasts are made from it. Older ones fade.
CREATE TABLE handover_pace (
    connection_key text NOT NULL REFERENCES connection,
    noun          text NOT NULL,
    steps         integer NOT NULL CHECK (steps > 0),
    calls         integer NOT NULL CHECK (calls >= 0),
    milliseconds  bigint NOT NULL CHECK (milliseconds >= 0),
    PRIMARY KEY (connection_key, noun)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON handover_pace TO tieline_worker;
GRANT SELECT ON handover_pace TO tieline_web;
