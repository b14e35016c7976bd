-- What may be spent, in money or in time: of a contract or of all contracts of a client, of one task or of all.
CREATE TABLE spending_limit (
    spending_limit_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind          text NOT NULL CHECK (kind IN ('cap', 'funding', 'budget', 'retainer')),
    contract_id   uuid REFERENCES contract,
    client_id     uuid REFERENCES client,
    task_name     text NOT NULL,
    code          text NOT NULL,
    amount        numeric CHECK (amount >= 0),
    currency      text,
    seconds       bigint CHECK (seconds >= 0),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    CHECK ((contract_id IS NULL) <> (client_id IS NULL)), CHECK ((amount IS NULL) <> (seconds IS NULL)),
    CHECK ((amount IS NULL) = (currency IS NULL)),
    EXCLUDE USING gist (textrange(kind || '|' || coalesce(contract_id, client_id)::text || '|' || task_name || '|' || code, kind || '|' || coalesce(contract_id, client_id)::text || '|' || task_name || '|' || code, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- A client's purchase order for a contract: for one task of it, or for all that have none of their own.
CREATE TABLE purchase_order (
    purchase_order_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_id   uuid NOT NULL REFERENCES contract,
    order_number  text NOT NULL,
    task_name     text NOT NULL,
    amount        numeric CHECK (amount >= 0),
    currency      text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(contract_id::text || '|' || order_number || '|' || task_name, contract_id::text || '|' || order_number || '|' || task_name, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- What one company asks of another for an hour of its people; labor_category '' is everybody.
CREATE TABLE transfer_price (
    transfer_price_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    home_entity_code text NOT NULL REFERENCES legal_entity,
    project_entity_code text NOT NULL REFERENCES legal_entity,
    labor_category text NOT NULL,
    price_amount  numeric NOT NULL CHECK (price_amount >= 0),
    currency      text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(home_entity_code || '|' || project_entity_code || '|' || labor_category, home_entity_code || '|' || project_entity_code || '|' || labor_category, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Which tax treatments a legal entity may use, for clients of which country; '' is every country.
CREATE TABLE tax_treatment (
    tax_treatment_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entity_code   text NOT NULL REFERENCES legal_entity,
    treatment     text NOT NULL,
    country_code  text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(entity_code || '|' || treatment || '|' || country_code, entity_code || '|' || treatment || '|' || country_code, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Where a legal entity books revenue, by practice; '' is every practice.
CREATE TABLE revenue_account (
    revenue_account_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entity_code   text NOT NULL REFERENCES legal_entity,
    practice      text NOT NULL,
    account_code  text NOT NULL,
    is_enabled    boolean NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(entity_code || '|' || practice, entity_code || '|' || practice, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);

-- ---------------------------------------------------------------- what changes of limits ask again
-- Hours of one contract are judged at once by its key. Those of one client stand in several contracts: they are
-- looked at once more together when each has been told its key, and nothing of them is sent before.
CREATE FUNCTION limits_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
DECLARE
    at timestamptz := (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c);
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT DISTINCT k.contract_id FROM changed c
            JOIN client l ON c.client_id IS NULL OR coalesce(l.redirect_to, l.client_id) = c.client_id
            JOIN contract k ON k.client_id = l.client_id
                AND (c.client_id IS NOT NULL OR k.contract_id = c.contract_id))), 'limits.changed', at);
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT 'client-cap:' || c.client_id, 'limits.changed', 'limits.changed', at
    FROM changed c WHERE c.client_id IS NOT NULL;
    RETURN NULL;
END $$;
CREATE FUNCTION home_terms_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(
        keys_of_people(ARRAY(SELECT e.person_id FROM employment e JOIN changed c ON c.home_entity_code = e.entity_code)),
        'rates.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION entity_terms_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT DISTINCT k.contract_id FROM changed c JOIN contract k ON k.entity_code = c.entity_code)),
        'terms.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
