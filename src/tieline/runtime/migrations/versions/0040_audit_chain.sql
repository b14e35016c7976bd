-- The audit can be held against itself: each row keeps the bytes that it was written as, and is linked to the one
-- before it soon after it was committed. Who writes a row waits for nobody: only the sealing step takes them in order.

-- Who reads the bytes reads the row: the columns are held against them, never made into them a second time.
ALTER TABLE audit ADD COLUMN canonical bytea;
CREATE FUNCTION audit_as_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.canonical := convert_to(jsonb_build_object(
        'audit_id', NEW.audit_id,
        'at', to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', NEW.actor,
        'action', NEW.action,
        'object', NEW.object,
        'entity_code', NEW.entity_code,
        'reason', NEW.reason,
        'data', NEW.data)::text, 'UTF8');
    RETURN NEW;
END $$;

-- What was written before is given its bytes once.
ALTER TABLE audit DISABLE TRIGGER audit_only_gains;
UPDATE audit SET canonical = convert_to(jsonb_build_object(
    'audit_id', audit_id,
    'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'actor', actor,
    'action', action,
    'object', object,
    'entity_code', entity_code,
    'reason', reason,
    'data', data)::text, 'UTF8');
ALTER TABLE audit ENABLE TRIGGER audit_only_gains;
ALTER TABLE audit ALTER COLUMN canonical SET NOT NULL;
CREATE TRIGGER audit_as_written BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_as_written();

-- The links, in the order in which they were made; a row that commits late is linked late.
CREATE TABLE audit_seal (
    seal_no       bigint PRIMARY KEY CHECK (seal_no > 0),
    audit_id      bigint NOT NULL UNIQUE REFERENCES audit,
    hash          bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE TRIGGER audit_seal_only_gains BEFORE UPDATE OR DELETE ON audit_seal
    FOR EACH ROW EXECUTE FUNCTION audit_only_gains();
CREATE TRIGGER audit_seal_is_never_emptied BEFORE TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_gains();
-- Rows that wait for their link.
CREATE TABLE audit_unsealed (audit_id bigint PRIMARY KEY);
INSERT INTO audit_unsealed SELECT audit_id FROM audit;
CREATE FUNCTION audit_waits_for_its_seal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
BEGIN
    INSERT INTO audit_unsealed SELECT audit_id FROM gained;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_waits_for_its_seal AFTER INSERT ON audit REFERENCING NEW TABLE AS gained
    FOR EACH STATEMENT EXECUTE FUNCTION audit_waits_for_its_seal();

-- A link is the digest of the link before it and of the digest of the row: whoever may not read a row can still
-- follow the chain past it.
CREATE FUNCTION audit_link(link bytea, first bytea, canonical bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256(coalesce(link, first) || sha256(canonical))
$$;
CREATE AGGREGATE audit_chain(first bytea, canonical bytea) (SFUNC = audit_link, STYPE = bytea);

-- Link the oldest rows that wait, at most so many; return how many. One at a time seals, and nobody waits for it.
CREATE FUNCTION seal_audit(rows_max bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    sealed bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('tieline.seal_audit', 0)) THEN
        RETURN 0;
    END IF;
    -- A statement of its own: it sees what was sealed by whoever held the lock before.
    WITH waiting AS (
        SELECT u.audit_id, a.canonical, row_number() OVER (ORDER BY u.audit_id) AS place
        FROM audit_unsealed u JOIN audit a USING (audit_id)
        ORDER BY u.audit_id LIMIT rows_max
    ), newest AS (
        SELECT coalesce(max(seal_no), 0) AS seal_no,
               coalesce((SELECT hash FROM audit_seal ORDER BY seal_no DESC LIMIT 1),
                        decode(repeat('00', 32), 'hex')) AS hash
        FROM audit_seal
    ), made AS (
        INSERT INTO audit_seal (seal_no, audit_id, hash)
        SELECT n.seal_no + w.place, w.audit_id, audit_chain(n.hash, w.canonical) OVER (ORDER BY w.audit_id)
        FROM waiting w CROSS JOIN newest n
        RETURNING audit_id
    ), taken AS (
        DELETE FROM audit_unsealed u USING made m WHERE u.audit_id = m.audit_id
    )
    SELECT count(*) INTO sealed FROM made;
    RETURN sealed;
END $$;

REVOKE ALL ON audit_seal, audit_unsealed FROM tieline_worker;
GRANT SELECT ON audit_seal, audit_unsealed TO tieline_worker;
REVOKE ALL ON FUNCTION seal_audit(bigint), audit_waits_for_its_seal() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seal_audit(bigint) TO tieline_worker, tieline_audit;
