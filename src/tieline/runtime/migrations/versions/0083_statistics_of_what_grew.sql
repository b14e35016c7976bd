-- A server that crashed forgets how much its tables changed, and one that was just filled has not looked yet: both
-- plan as if nothing were in them, and a statement of 0.2 seconds takes minutes. What grew is known from the files.
CREATE FUNCTION take_statistics() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    grown text;
BEGIN
    SELECT c.relname INTO grown
    FROM pg_class c
    CROSS JOIN LATERAL (SELECT pg_relation_size(c.oid) / current_setting('block_size')::int AS pages) now
    WHERE c.relnamespace = 'tieline'::regnamespace AND c.relkind = 'r'
      AND now.pages >= 16 AND (c.reltuples < 0 OR now.pages >= 4 * c.relpages)
    ORDER BY now.pages - c.relpages DESC, c.relname LIMIT 1;
    IF grown IS NOT NULL THEN
        -- Whoever cleans it takes them as well.
        EXECUTE format('ANALYZE (SKIP_LOCKED) %I', grown);
    END IF;
    RETURN grown;
END $$;
COMMENT ON FUNCTION take_statistics IS
    'Takes the statistics of the table that grew most since they were last taken, and returns its name or nothing.';
REVOKE EXECUTE ON FUNCTION take_statistics FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_statistics TO tieline_worker;
