-- What thousands of new rows have in common is looked up, and locked, once of all rows of a statement: which
-- connection, period, release or batch they name. A foreign key asks for each row, whatever the row before it named:
-- 3 to 4 microseconds each, six of them for an hour on its way. The promise is the same, and so is its error: whoever
-- names one that is not there is refused, whoever takes one away waits for those who name it, and is refused then.

CREATE FUNCTION refer_in_sets(child name, child_column name, parent name, parent_column name)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    foreign_key name;
    key_type text;
    promise text := child || '_' || child_column;
BEGIN
    SELECT c.conname, format_type(a.atttypid, NULL) INTO STRICT foreign_key, key_type
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attname = child_column
    WHERE c.contype = 'f' AND c.conrelid = child::regclass AND c.confrelid = parent::regclass AND c.conkey = ARRAY[a.attnum]
      AND c.confdeltype = 'a' AND c.confupdtype = 'a';
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', child, foreign_key);

    EXECUTE format($function$
        CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $body$
        DECLARE
            named %6$s[] := ARRAY(SELECT DISTINCT n.%3$I FROM new_rows n WHERE n.%3$I IS NOT NULL);
            standing bigint;
        BEGIN
            -- Locked as a foreign key locks: it stays until the commit, and who only reads or changes it goes on.
            SELECT count(*) INTO standing FROM (SELECT FROM %4$I p WHERE p.%5$I = ANY (named) FOR KEY SHARE) p;
            IF standing < cardinality(named) THEN
                RAISE EXCEPTION 'a row of %2$s names a %3$s that is not in %4$s' USING ERRCODE = 'foreign_key_violation';
            END IF;
            RETURN NULL;
        END $body$ $function$, promise || '_stands', child, child_column, parent, parent_column,
        key_type);
    EXECUTE format('CREATE TRIGGER %1$I AFTER INSERT ON %2$I REFERENCING NEW TABLE AS new_rows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION %1$I()', promise || '_stands', child);

    -- A row that names another one later is rare, and asked about alone.
    EXECUTE format($function$
        CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $body$
        BEGIN
            PERFORM FROM %4$I p WHERE p.%5$I = NEW.%3$I FOR KEY SHARE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'a row of %2$s names a %3$s that is not in %4$s' USING ERRCODE = 'foreign_key_violation';
            END IF;
            RETURN NULL;
        END $body$ $function$, promise || '_follows', child, child_column, parent, parent_column);
    EXECUTE format('CREATE TRIGGER %1$I AFTER UPDATE OF %3$I ON %2$I FOR EACH ROW'
        ' WHEN (NEW.%3$I IS NOT NULL AND NEW.%3$I IS DISTINCT FROM OLD.%3$I) EXECUTE FUNCTION %1$I()',
        promise || '_follows', child, child_column);

    EXECUTE format($function$
        CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $body$
        BEGIN
            IF EXISTS (SELECT FROM %2$I c WHERE c.%3$I = OLD.%5$I)
               AND NOT EXISTS (SELECT FROM %4$I p WHERE p.%5$I = OLD.%5$I) THEN
                RAISE EXCEPTION 'a row of %2$s still names what is taken out of %4$s' USING ERRCODE = 'foreign_key_violation';
            END IF;
            RETURN NULL;
        END $body$ $function$, promise || '_is_named', child, child_column, parent, parent_column);
    EXECUTE format('CREATE TRIGGER %1$I AFTER DELETE ON %2$I FOR EACH ROW EXECUTE FUNCTION %1$I()',
        promise || '_is_named', parent);
    EXECUTE format('CREATE TRIGGER %1$I AFTER UPDATE OF %3$I ON %2$I FOR EACH ROW'
        ' WHEN (NEW.%3$I IS DISTINCT FROM OLD.%3$I) EXECUTE FUNCTION %4$I()',
        promise || '_keeps_its_name', parent, parent_column, promise || '_is_named');

    EXECUTE format($function$
        CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN
            RAISE EXCEPTION '%3$s cannot be emptied: %2$s names it' USING ERRCODE = 'feature_not_supported';
        END $body$ $function$, promise || '_is_emptied', child, parent);
    EXECUTE format('CREATE TRIGGER %1$I BEFORE TRUNCATE ON %2$I FOR EACH STATEMENT EXECUTE FUNCTION %1$I()',
        promise || '_is_emptied', parent);
END $$;

SELECT refer_in_sets('time_entry', 'connection_key', 'connection', 'connection_key');
SELECT refer_in_sets('time_entry_version', 'batch_id', 'intake_batch', 'batch_id');
SELECT refer_in_sets('verdict', 'release_id', 'release', 'release_id');
SELECT refer_in_sets('effect', 'target_connection', 'connection', 'connection_key');
SELECT refer_in_sets('effect', 'period_id', 'fiscal_period', 'period_id');
SELECT refer_in_sets('effect', 'release_id', 'release', 'release_id');
DROP FUNCTION refer_in_sets(name, name, name, name);

-- Hours come in by the ten thousand. Cleaning up behind each few thousand of them is work for nothing: what is written in
-- place is cleaned by whoever comes by. Statistics are taken as before.
ALTER TABLE effect SET (autovacuum_vacuum_threshold = 200000, autovacuum_vacuum_insert_threshold = 200000);
ALTER TABLE verdict SET (autovacuum_vacuum_insert_threshold = 200000);
ALTER TABLE time_entry SET (autovacuum_vacuum_threshold = 200000, autovacuum_vacuum_insert_threshold = 200000);
ALTER TABLE time_entry_version SET (autovacuum_vacuum_insert_threshold = 200000);
ALTER TABLE narrative SET (autovacuum_vacuum_insert_threshold = 200000);
