-- Every hour as its source tells it now, perhaps more than once; 0 seconds where it is not approved, or deleted.
CREATE TEMP TABLE asked_hour (
    told integer NOT NULL, object text NOT NULL, source_ref text NOT NULL, project_ref text, work_date date,
    seconds integer NOT NULL, source_at timestamptz
) ON COMMIT DROP
