-- Which kind of system owns a field of a noun: as the firm declares it, from a day on, where a region (a country,
-- or '' for every one) differs. What nobody declared is as it ships.
CREATE TABLE field_owner (
    field_owner_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    noun          text NOT NULL CHECK (noun IN ('client', 'project')),
    field         text NOT NULL CHECK (field <> ''),
    region        text NOT NULL CHECK (region ~ '^([A-Z]{2})?$'),
    owner_kind    text NOT NULL CHECK (owner_kind IN ('crm', 'erp', 'hr', 'time')),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(noun || '|' || field || '|' || region, noun || '|' || field || '|' || region, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
GRANT SELECT ON field_owner TO tieline_web;
