-- Of tables that grow by the hundred thousand the server takes statistics every fifteen seconds while they do, from
-- 30,000 rows each; that was a twelfth of all work. 6,000 say the same: what hours are looked up by is a key.
CREATE FUNCTION sample_less(bulk regclass) RETURNS void LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
DECLARE
    field name;
BEGIN
    FOR field IN SELECT attname FROM pg_attribute WHERE attrelid = bulk AND attnum > 0 AND NOT attisdropped LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 20', bulk, field);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION sample_less FROM PUBLIC;

SELECT sample_less(bulk)
FROM unnest(ARRAY['narrative', 'time_entry', 'time_entry_version', 'verdict', 'effect']::regclass[]) bulk;
-- With its parts, each of which is looked at alone.
SELECT sample_less(relid) FROM pg_partition_tree('raw_record');
SELECT sample_less(relid) FROM pg_partition_tree('ledger_line');
DO $$
DECLARE
    body text := pg_get_functiondef('keep_raw_partitions(date, integer)'::regprocedure);
    changed text := replace(body, 'day, day + 1);', 'day, day + 1);
        PERFORM sample_less(to_regclass(''tieline.raw_record_'' || to_char(day, ''YYYYMMDD'')));');
BEGIN
    IF changed = body THEN
        RAISE EXCEPTION 'keep_raw_partitions makes no partition';
    END IF;
    EXECUTE changed;
END $$;

-- Each hour is written once more, when its verdict is known. With room for each of them beside it, in place; four in
-- ten were written elsewhere, into two indexes again, and took as much room.
ALTER TABLE time_entry SET (fillfactor = 50);

-- What is kept of a record is looked up by its name; the hash beside it was never asked for, and was most of the index.
DROP INDEX raw_record_source;
CREATE INDEX raw_record_source ON raw_record (connection_key, object, source_ref);
