-- What is asked for of the whole firm is seen by who sees all of it: a file of rates, terms or contracts holds those of
-- every legal entity, and so does what it would do to hours and money. A replay reaches as far as its figures say.
CREATE FUNCTION sees_firm() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
    SELECT page_sees(NULL) AND NOT EXISTS (SELECT FROM legal_entity e WHERE NOT visible_entity(e.entity_code))
$$;
REVOKE ALL ON FUNCTION sees_firm() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sees_firm() TO tieline_web;
DROP POLICY web_sees_its_entities ON proposal;
CREATE POLICY web_sees_its_entities ON proposal TO tieline_web USING (
    CASE WHEN entity_code IS NULL AND kind LIKE 'register.%' THEN sees_firm()
         WHEN entity_code IS NULL AND kind = 'inbox.replay' THEN page_sees(NULL) AND NOT EXISTS (
             SELECT FROM jsonb_array_elements_text(payload #> '{figures,entities}') e WHERE NOT visible_entity(e))
         ELSE page_sees(entity_code) END);

-- What a contract is worth belongs to its legal entity, as the contract does; no page reads its lines.
ALTER TABLE contract_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE contract_version FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON contract_version TO tieline_owner, tieline_worker USING (true) WITH CHECK (true);
CREATE POLICY judge_reads_all ON contract_version FOR SELECT TO tieline_judge USING (true);
CREATE POLICY web_sees_its_contracts ON contract_version FOR SELECT TO tieline_web
    USING (EXISTS (SELECT FROM contract c WHERE c.contract_id = contract_version.contract_id));
REVOKE SELECT ON contract_line, measure_value FROM tieline_web;

-- Who answers pages makes no people, gives no keys, and keeps no secrets.
REVOKE INSERT ON person_login, api_key FROM tieline_web;
REVOKE UPDATE (password_hash) ON person_login FROM tieline_web;
REVOKE UPDATE (revoked_at, revoked_by) ON api_key FROM tieline_web;
REVOKE ALL ON secret FROM tieline_web;
REVOKE SELECT (connection_key, name, stored_at) ON secret FROM tieline_web;
