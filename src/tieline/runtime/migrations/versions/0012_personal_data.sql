-- Erase a person: what was sent about them goes, what we made of it keeps an id where a name stood.
-- Ledger, verdicts, effects and events hold ids and sums alone and are not touched. The e-mail is replaced by one
-- that can belong to nobody, the same everywhere, so that whoever is matched by it stays the same person.
CREATE FUNCTION erase_person(erased uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    one record;
    in_json text;
    pattern text;
    raw_rows bigint := 0;
    versions bigint := 0;
    narratives bigint := 0;
    keys bigint := 0;
    found bigint;
BEGIN
    CREATE TEMP TABLE erased_people ON COMMIT DROP AS
        WITH RECURSIVE merged AS (
            SELECT p.person_id FROM person p WHERE p.person_id = erased
            UNION SELECT p.person_id FROM person p JOIN merged m ON p.redirect_to = m.person_id
        )
        SELECT m.person_id, s.name, lower(s.email) AS email,
               m.person_id || '@erased.invalid' AS pseudonym
        FROM merged m JOIN subject s ON s.subject_id = m.person_id;
    CREATE TEMP TABLE erased_refs ON COMMIT DROP AS
        SELECT DISTINCT x.connection_key, x.source_ref, p.pseudonym
        FROM crosswalk x JOIN erased_people p ON p.person_id = x.our_id WHERE x.noun = 'person';

    -- What they wrote.
    UPDATE narrative n SET text = ''
    FROM time_entry_version w
    JOIN time_entry t ON t.entry_id = w.entry_id
    JOIN erased_refs r ON (r.connection_key, r.source_ref) = (t.connection_key, w.person_ref)
    WHERE n.narrative_id = w.narrative_id AND n.text <> '';
    GET DIAGNOSTICS narratives = ROW_COUNT;
    DELETE FROM raw_record b USING time_entry t, time_entry_version w, erased_refs r
    WHERE w.entry_id = t.entry_id AND (r.connection_key, r.source_ref) = (t.connection_key, w.person_ref)
      AND (b.connection_key, b.object, b.source_ref) = (t.connection_key, t.object, t.source_ref);
    GET DIAGNOSTICS raw_rows = ROW_COUNT;

    -- Their own records, and records that point to them.
    DELETE FROM raw_record b USING source_version s, erased_refs r
    WHERE r.connection_key = s.connection_key
      AND (s.noun = 'Person' AND s.source_ref = r.source_ref OR s.data ->> 'person_ref' = r.source_ref)
      AND (b.connection_key, b.object, b.source_ref) = (s.connection_key, s.object, s.source_ref);
    GET DIAGNOSTICS found = ROW_COUNT;
    raw_rows := raw_rows + found;
    UPDATE source_version s
    SET data = s.data || jsonb_build_object('name', '(erased)', 'email', r.pseudonym, 'extras', '{}'::jsonb)
    FROM erased_refs r
    WHERE s.noun = 'Person' AND (s.connection_key, s.source_ref) = (r.connection_key, r.source_ref);
    GET DIAGNOSTICS versions = ROW_COUNT;

    -- Wherever else the e-mail or the whole name stands.
    FOR one IN SELECT * FROM erased_people LOOP
        in_json := ascii_json(one.name);
        DELETE FROM raw_record b
        WHERE one.email IS NOT NULL AND position(one.email IN lower(encode(b.body, 'escape'))) > 0
           OR one.name NOT IN ('', '(erased)') AND (position(convert_to(one.name, 'UTF8') IN b.body) > 0
                                  OR position(convert_to(in_json, 'UTF8') IN b.body) > 0);
        GET DIAGNOSTICS found = ROW_COUNT;
        raw_rows := raw_rows + found;
        pattern := words_pattern(one.email, one.name);
        -- A row of a file is known by its columns; where the e-mail is one of them it goes there too.
        UPDATE source_version s
        SET data = regexp_replace(s.data::text, pattern, one.pseudonym, 'gi')::jsonb,
            source_ref = regexp_replace(s.source_ref, pattern, one.pseudonym, 'gi')
        WHERE s.data::text ~* pattern OR s.source_ref ~* pattern;
        GET DIAGNOSTICS found = ROW_COUNT;
        versions := versions + found;
        UPDATE narrative n SET text = regexp_replace(n.text, pattern, one.pseudonym, 'gi')
        WHERE n.text ~* pattern;
        GET DIAGNOSTICS found = ROW_COUNT;
        narratives := narratives + found;
        UPDATE crosswalk x SET source_ref = one.pseudonym WHERE lower(x.source_ref) = one.email;
        UPDATE time_entry_version w
        SET person_ref = CASE WHEN lower(w.person_ref) = one.email THEN one.pseudonym ELSE w.person_ref END,
            approver_ref = CASE WHEN lower(w.approver_ref) = one.email THEN one.pseudonym ELSE w.approver_ref END
        WHERE one.email IN (lower(w.person_ref), lower(w.approver_ref));
        DELETE FROM dirty_mark d WHERE d.source_ref ~* pattern;
        DELETE FROM missing_suspicion m WHERE m.source_ref ~* pattern;
        -- Business keys are computed from the identity of an hour; where that names somebody it has to stay.
        SELECT count(*) INTO found FROM time_entry t WHERE t.source_ref ~* pattern;
        keys := keys + found;
        UPDATE effect_payload e SET content = regexp_replace(e.content::text, pattern, one.pseudonym, 'gi')::jsonb
        WHERE e.content::text ~* pattern;
        UPDATE case_file c SET thing_key = regexp_replace(c.thing_key, pattern, one.pseudonym, 'gi'),
            details = regexp_replace(c.details::text, pattern, one.pseudonym, 'gi')::jsonb
        WHERE c.details::text ~* pattern OR c.thing_key ~* pattern;
        UPDATE untranslated u SET message = regexp_replace(u.message, pattern, one.pseudonym, 'gi')
        WHERE u.message ~* pattern;
    END LOOP;
    UPDATE subject s SET name = '(erased)', email = p.pseudonym
    FROM erased_people p WHERE p.person_id = s.subject_id;
    RETURN jsonb_build_object('raw_rows', raw_rows, 'versions', versions, 'narratives', narratives,
                              'keys', keys);
END $$;

-- A name as a JSON writer that keeps to ASCII spells it.
CREATE FUNCTION ascii_json(word text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(CASE WHEN ascii(letter) < 128 THEN letter
                           ELSE '\u' || lpad(to_hex(ascii(letter)), 4, '0') END, '' ORDER BY place)
    FROM regexp_split_to_table(word, '') WITH ORDINALITY AS spelled (letter, place)
$$;
-- An e-mail or a whole name, as plain words of a pattern; what is missing matches nothing.
CREATE FUNCTION words_pattern(VARIADIC words text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(string_agg('\m' || regexp_replace(word, '([^[:alnum:][:space:]])', '\\\1', 'g') || '\M', '|'), '\m\M.')
    FROM unnest(words) AS word WHERE word NOT IN ('', '(erased)')
$$;

-- One partition a day, made ahead; a day that is over and old enough goes as a whole. ``today`` is business time.
CREATE FUNCTION keep_raw_partitions(today date, keep_days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    day date;
    old record;
    dropped integer := 0;
    found integer;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'raw records are kept for at least one day' USING ERRCODE = 'check_violation';
    END IF;
    SET LOCAL lock_timeout = '2s';
    FOR day IN SELECT today + n FROM generate_series(0, 7) AS n LOOP
        CONTINUE WHEN to_regclass('tieline.raw_record_' || to_char(day, 'YYYYMMDD')) IS NOT NULL
            OR EXISTS (SELECT FROM raw_record_other r WHERE r.received_on = day);
        EXECUTE format('CREATE TABLE raw_record_%s PARTITION OF raw_record FOR VALUES FROM (%L) TO (%L)',
                       to_char(day, 'YYYYMMDD'), day, day + 1);
    END LOOP;
    FOR old IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tieline.raw_record'::regclass AND c.relname ~ '^raw_record_\d{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - keep_days
    LOOP
        EXECUTE format('DROP TABLE %I', old.relname);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM raw_record_other WHERE received_on < today - keep_days;
    GET DIAGNOSTICS found = ROW_COUNT;
    RETURN dropped + (found > 0)::integer;
END $$;

REVOKE EXECUTE ON FUNCTION erase_person, keep_raw_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_person, keep_raw_partitions TO tieline_worker;
