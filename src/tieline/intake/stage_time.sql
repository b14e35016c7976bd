CREATE TEMP TABLE landing_time (
    object text NOT NULL, source_ref text NOT NULL, raw_id bigint NOT NULL, is_deleted boolean NOT NULL,
    person_ref text NOT NULL, project_ref text, task_ref text, labor_category text, work_date date, zone text,
    seconds integer NOT NULL, quantum_seconds integer NOT NULL, started_at timestamptz, ended_at timestamptz,
    is_billable boolean, approval text NOT NULL, approval_word text NOT NULL, approver_ref text,
    approved_at timestamptz, created_at timestamptz, narrative text, narrative_hash bytea,
    material_hash bytea NOT NULL, source_at timestamptz, line_number integer,
    entry_id uuid, next_version integer, is_newer boolean, narrative_id bigint
) ON COMMIT DROP
