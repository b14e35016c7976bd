-- Reference data that came from a file: who loaded it, who agreed, and from which line each row is.
CREATE TABLE reference_load (
    load_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    noun          text NOT NULL,
    file_name     text NOT NULL,
    loaded_by     text NOT NULL,
    approved_by   text,
    reason        text NOT NULL,
    rows          integer NOT NULL,
    recorded_at   timestamptz NOT NULL,
    CONSTRAINT reference_load_two_pairs_of_eyes CHECK (approved_by IS NULL OR approved_by <> loaded_by)
);

-- What one unit of a currency is worth in another from a day on; the rate of a day is the one that holds then.
CREATE TABLE fx_rate (
    fx_rate_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    from_currency text NOT NULL,
    to_currency   text NOT NULL CHECK (to_currency <> from_currency),
    factor        numeric NOT NULL CHECK (factor > 0),
    source        text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (
        textrange(from_currency || '>' || to_currency, from_currency || '>' || to_currency, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
