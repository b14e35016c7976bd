CREATE TEMP TABLE landing_noun (
    object text NOT NULL, source_ref text NOT NULL, raw_id bigint NOT NULL, noun text NOT NULL,
    data jsonb NOT NULL, is_deleted boolean NOT NULL, material_hash bytea NOT NULL, source_at timestamptz
) ON COMMIT DROP
