-- What was agreed with a client that was merged holds for the one who stays: whoever changes it asks for that one's hours.
CREATE FUNCTION contracts_of_clients(clients uuid[]) RETURNS uuid[] LANGUAGE sql STABLE SET search_path = tieline, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT k.contract_id), '{}')
    FROM client o
    JOIN client l ON coalesce(l.redirect_to, l.client_id) = coalesce(o.redirect_to, o.client_id)
    JOIN contract k ON k.client_id = l.client_id
    WHERE o.client_id = ANY (clients)
$$;
GRANT EXECUTE ON FUNCTION contracts_of_clients(uuid[]) TO tieline_worker, tieline_web;

CREATE OR REPLACE FUNCTION clients_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(contracts_of_clients(ARRAY(SELECT c.client_id FROM changed c))), 'client.changed',
                      (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION client_terms_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(contracts_of_clients(ARRAY(SELECT c.client_id FROM changed c))), 'rates.changed',
                      (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION limits_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
DECLARE
    at timestamptz := (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c);
BEGIN
    PERFORM mark_keys(keys_of_contracts(
            contracts_of_clients(ARRAY(SELECT c.client_id FROM changed c WHERE c.client_id IS NOT NULL))
            || ARRAY(SELECT c.contract_id FROM changed c WHERE c.contract_id IS NOT NULL)), 'limits.changed', at);
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT 'client-cap:' || coalesce(o.redirect_to, o.client_id), 'limits.changed', 'limits.changed', at
    FROM changed c JOIN client o USING (client_id);
    RETURN NULL;
END $$;
