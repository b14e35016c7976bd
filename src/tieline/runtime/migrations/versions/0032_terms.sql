-- What a contract pays, step by step: the person on the project, the role on the contract (contract_line), the
-- client's card, the practice's card, the list. labor_category '' is a price for every category.
CREATE TABLE person_rate (
    person_rate_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id    uuid NOT NULL REFERENCES project,
    person_id     uuid NOT NULL REFERENCES person,
    rate_amount   numeric NOT NULL CHECK (rate_amount >= 0),
    currency      text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (
        textrange(project_id::text || person_id::text, project_id::text || person_id::text, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE TABLE client_rate (
    client_rate_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id     uuid NOT NULL REFERENCES client,
    card_code     text NOT NULL,
    labor_category text NOT NULL,
    rate_amount   numeric NOT NULL CHECK (rate_amount >= 0),
    currency      text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (
        textrange(client_id::text || '|' || card_code || '|' || labor_category || '|' || currency,
                  client_id::text || '|' || card_code || '|' || labor_category || '|' || currency, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE TABLE practice_rate (
    practice_rate_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    practice      text NOT NULL,
    card_code     text NOT NULL,
    labor_category text NOT NULL,
    rate_amount   numeric NOT NULL CHECK (rate_amount >= 0),
    currency      text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (
        textrange(practice || '|' || card_code || '|' || labor_category || '|' || currency,
                  practice || '|' || card_code || '|' || labor_category || '|' || currency, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- entity_code '' is the list of every legal entity; one of its own beats it.
CREATE TABLE list_rate (
    list_rate_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entity_code   text NOT NULL,
    card_code     text NOT NULL,
    labor_category text NOT NULL,
    rate_amount   numeric NOT NULL CHECK (rate_amount >= 0),
    currency      text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (
        textrange(entity_code || '|' || card_code || '|' || labor_category || '|' || currency,
                  entity_code || '|' || card_code || '|' || labor_category || '|' || currency, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- How worked time becomes billed time. rounds_per 'day': the sum of a person's time on one task of a day.
CREATE TABLE billing_terms (
    billing_terms_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_id   uuid NOT NULL REFERENCES contract,
    increment_seconds integer NOT NULL CHECK (increment_seconds BETWEEN 1 AND 86400),
    rounding      text NOT NULL CHECK (rounding IN ('up', 'nearest', 'down')),
    rounds_per    text NOT NULL CHECK (rounds_per IN ('entry', 'day')),
    minimum_seconds integer NOT NULL CHECK (minimum_seconds BETWEEN 0 AND 86400),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(contract_id::text, contract_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Between which rates a client agreed to pay for a category; either end may be open.
CREATE TABLE rate_bound (
    rate_bound_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id     uuid NOT NULL REFERENCES client,
    labor_category text NOT NULL,
    currency      text NOT NULL,
    rate_min      numeric,
    rate_max      numeric,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (
        textrange(client_id::text || '|' || labor_category || '|' || currency,
                  client_id::text || '|' || labor_category || '|' || currency, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);

-- Worked seconds as they are billed; nothing worked bills nothing.
CREATE FUNCTION billed_seconds(seconds bigint, increment_seconds integer, rounding text, minimum_seconds integer)
RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN seconds <= 0 THEN seconds ELSE greatest(minimum_seconds, increment_seconds * CASE rounding
        WHEN 'up' THEN (seconds + increment_seconds - 1) / increment_seconds
        WHEN 'nearest' THEN (2 * seconds + increment_seconds) / (2 * increment_seconds)
        ELSE seconds / increment_seconds END) END
$$;

-- Why an amount is what it is, by reference: NULL where the role on the contract decides and time is billed as worked.
ALTER TABLE verdict ADD COLUMN rate_level text CHECK (rate_level IN ('person', 'client', 'practice', 'list')),
    ADD COLUMN rate_ref uuid, ADD COLUMN fx_rate_id uuid, ADD COLUMN billing_terms_id uuid,
    ADD COLUMN billed_seconds integer;

-- ---------------------------------------------------------------- what changes of terms ask again
CREATE FUNCTION keys_of_contracts(contracts uuid[]) RETURNS text[] LANGUAGE sql STABLE SET search_path = tieline, pg_temp AS $$
    SELECT coalesce(array_agg('contract:' || c), '{}') FROM unnest(contracts) c
$$;
CREATE FUNCTION person_rates_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_projects(ARRAY(SELECT DISTINCT c.project_id FROM changed c)), 'rates.changed',
                      (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION client_terms_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT DISTINCT k.contract_id FROM changed c
            JOIN client l ON coalesce(l.redirect_to, l.client_id) = c.client_id
            JOIN contract k ON k.client_id = l.client_id)), 'rates.changed',
        (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION practice_rates_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT DISTINCT v.contract_id FROM changed c
            JOIN contract_version v ON v.practice = c.practice AND v.superseded_at IS NULL)), 'rates.changed',
        (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION list_rates_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT DISTINCT k.contract_id FROM changed c
            JOIN contract k ON c.entity_code IN ('', k.entity_code))), 'rates.changed',
        (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
CREATE FUNCTION fx_rates_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(keys_of_contracts(ARRAY(
            SELECT DISTINCT v.contract_id FROM changed c
            JOIN contract_version v ON v.currency IN (c.to_currency, c.from_currency) AND v.superseded_at IS NULL)),
        'rates.changed', (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
