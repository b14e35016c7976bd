-- An hour that changed after it was posted is named to who sees the change: a reference of the time tool says nothing.
DO $$
DECLARE
    body text := pg_get_functiondef('page_names(text[], text[])'::regprocedure);
    told text := 'OR (a.kind = ''hour'' AND EXISTS (SELECT FROM case_member m';
BEGIN
    IF position(told IN body) = 0 THEN
        RAISE EXCEPTION 'page_names does not look for hours as it did: %', told;
    END IF;
    EXECUTE replace(body, told, 'OR (a.kind = ''hour'' AND EXISTS (SELECT FROM posted_change p
                                           WHERE p.entry_id = CASE WHEN a.kind = ''hour'' THEN a.key::uuid END
                                             AND (in_sight(p.entity_code) OR in_sight(p.new_entity_code))))
           ' || told);
END $$;
