-- What an hour costs is seen with a right of its own, which a transaction of the web role or the judge is opened
-- with. Who computes over every legal entity sees it.
CREATE FUNCTION sees_costs() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT session_user NOT IN ('tieline_web', 'tieline_judge')
        OR coalesce(current_setting('tieline.sees_costs', true), '') = 'yes'
$$;

-- Members of cases with their money; where that is a cost and the right is missing, the money is not there.
CREATE VIEW case_member_seen AS
SELECT m.case_id, m.member_kind, m.member_key, m.entry_id, m.seconds, m.is_synced, m.joined_at, m.left_at,
       CASE WHEN m.basis <> 'cost' OR sees_costs() THEN m.amount END AS amount,
       CASE WHEN m.basis <> 'cost' OR sees_costs() THEN m.currency END AS currency,
       CASE WHEN m.basis <> 'cost' OR sees_costs() THEN m.basis ELSE 'unpriced' END AS basis
FROM case_member m
-- A view reads as its owner, who sees every case: the sight of the web role is asked for again.
WHERE session_user <> 'tieline_web' OR EXISTS (
    SELECT FROM case_file c WHERE c.case_id = m.case_id
      AND (visible_entity(c.entity_code) OR (c.entity_code IS NULL
           AND coalesce(current_setting('tieline.entities', true), '') <> '')));
GRANT SELECT ON case_member_seen TO tieline_worker, tieline_web, tieline_judge;

REVOKE SELECT ON case_member FROM tieline_web;
GRANT SELECT (case_id, member_kind, member_key, entry_id, seconds, is_synced, joined_at, left_at)
    ON case_member TO tieline_web;

ALTER TABLE api_key DROP CONSTRAINT api_key_scopes_check;
ALTER TABLE api_key ADD CONSTRAINT api_key_scopes_check CHECK (scopes <@ ARRAY[
    'time:read', 'time:write', 'provisioning:write', 'close:write', 'cases:write', 'costs:read', 'admin']);
