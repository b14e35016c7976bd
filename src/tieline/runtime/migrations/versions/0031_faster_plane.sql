-- Ids that follow the clock: entries that land together stand together in each of the six indexes that begin with
-- them, where random ones touch as many pages as there are rows. PostgreSQL has had the function since 18.
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        ALTER TABLE time_entry ALTER COLUMN entry_id SET DEFAULT uuidv7();
    END IF;
END $$;

-- Room on each page for the row that names the verdict: what stays on its page touches no index.
ALTER TABLE time_entry SET (fillfactor = 60);

-- The keys of many verdicts are sorted in at once, which costs a quarter of sorting in each as it comes. A look-up
-- would read the whole list of rows not yet sorted in, for each key anew; so who looks up settles the list first.
ALTER INDEX verdict_neighbor_keys SET (fastupdate = on);
CREATE FUNCTION settle_neighbor_keys() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT gin_clean_pending_list('tieline.verdict_neighbor_keys')
$$;
REVOKE EXECUTE ON FUNCTION settle_neighbor_keys() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION settle_neighbor_keys() TO tieline_worker, tieline_judge;

-- The same bytes as before. A body that reads no more often than it must, and promises no more than it keeps, is
-- written into the statement that uses it; a call costs more than what it computes.
CREATE OR REPLACE FUNCTION key_part(word text) RETURNS bytea LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT int4send(octet_length(convert_to(word, 'UTF8'))) || convert_to(word, 'UTF8')
$$;
CREATE OR REPLACE FUNCTION business_key(connection_key text, source_epoch integer, object text, source_ref text,
    target_connection text, noun text, part text, effect_no integer)
RETURNS uuid LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT encode(substring(sha256(
        tieline.key_part(connection_key) || tieline.key_part(source_epoch::text) || tieline.key_part(object)
        || tieline.key_part(source_ref) || tieline.key_part(target_connection) || tieline.key_part(noun)
        || tieline.key_part(part) || tieline.key_part(effect_no::text)) FOR 16), 'hex')::uuid
$$;
