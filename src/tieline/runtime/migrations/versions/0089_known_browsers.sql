-- A browser in which somebody came in is known when they come again: the lock that strangers' guesses put on a
-- login does not hold there. It has guesses of its own, and opens nothing by itself.
CREATE TABLE known_browser (
    browser_hash    bytea PRIMARY KEY,
    login           text NOT NULL REFERENCES person_login,
    known_at        timestamptz NOT NULL,
    failed_attempts integer NOT NULL DEFAULT 0
);
CREATE INDEX known_browser_login ON known_browser (login);

GRANT SELECT, INSERT, UPDATE, DELETE ON known_browser TO tieline_worker, tieline_web;
