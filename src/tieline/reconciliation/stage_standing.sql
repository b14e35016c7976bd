-- Every line of one legal entity and fiscal period as its target shows it now.
CREATE TEMP TABLE standing_line (
    business_key uuid, target_code text NOT NULL, task_code text NOT NULL, seconds integer NOT NULL, invoice_code text,
    content_hash text NOT NULL
) ON COMMIT DROP
