CREATE TEMP TABLE landing_raw (
    object text NOT NULL, source_ref text NOT NULL, raw_hash bytea NOT NULL, body bytea NOT NULL,
    source_at timestamptz, line_number integer
) ON COMMIT DROP
