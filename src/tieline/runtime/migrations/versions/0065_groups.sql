-- What everybody calls a plan: its deal, with its group where the deal is several projects.
ALTER TABLE provisioning_plan ADD COLUMN deal_key text NOT NULL GENERATED ALWAYS AS (
    connection_key || ':' || deal_ref || CASE WHEN project_group = '' THEN '' ELSE ':' || project_group END) STORED;
CREATE INDEX provisioning_plan_deal_key ON provisioning_plan (deal_key);

-- A case of a deal is one of its project's.
DO $$
DECLARE
    shown text := pg_get_functiondef('page_assignments(text, uuid, text, date, integer, integer)'::regprocedure);
    told constant text := 'p.connection_key || '':'' || p.deal_ref';
BEGIN
    IF position(told IN shown) = 0 THEN
        RAISE EXCEPTION 'page_assignments does not look for the cases of a deal as it did';
    END IF;
    EXECUTE replace(shown, told, 'p.deal_key');
END $$;
