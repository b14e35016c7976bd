-- Somebody may be known to a provider of identities: by its subject, or, until they first come, by the keyed
-- hash of an address that the provider has verified. Signing in binds the two; it never makes a person.
CREATE TABLE login_identity (
    identity_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    login         text NOT NULL REFERENCES person_login,
    issuer        text NOT NULL CHECK (issuer <> ''),
    subject       text CHECK (subject <> ''),
    email_hash    bytea,
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    bound_at      timestamptz,
    ended_at      timestamptz,
    CHECK (subject IS NOT NULL OR email_hash IS NOT NULL),
    CHECK ((subject IS NULL) = (bound_at IS NULL))
);
-- Two people for one identity would be a guess.
CREATE UNIQUE INDEX login_identity_subject ON login_identity (issuer, subject) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX login_identity_email ON login_identity (issuer, email_hash) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX login_identity_login ON login_identity (issuer, login) WHERE ended_at IS NULL;

-- The word of a sign-in is good once; it is old before it is forgotten.
CREATE TABLE used_sign_in (
    state_hash    bytea PRIMARY KEY,
    used_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX used_sign_in_used_at ON used_sign_in (used_at);

GRANT SELECT, INSERT, UPDATE ON login_identity TO tieline_worker;
GRANT SELECT ON login_identity TO tieline_web;
GRANT UPDATE (subject, bound_at) ON login_identity TO tieline_web;
GRANT SELECT, INSERT, DELETE ON used_sign_in TO tieline_worker, tieline_web;

-- Whoever signs in acts in no legal entity yet.
CREATE POLICY web_writes_sign_ins ON audit FOR INSERT TO tieline_web
    WITH CHECK (entity_code IS NULL
        AND action IN ('person.signed_in', 'person.sign_in_refused', 'person.identity_bound'));
