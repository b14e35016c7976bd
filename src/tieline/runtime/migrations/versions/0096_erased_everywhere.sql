-- Whoever is erased stood in more places: in what a verdict is asked again for, where the source knows people by their
-- e-mail; in rows that nobody could read, and their cases; in files of rates that were proposed, and questions about them.
-- The words of a proposal change for this alone: which things it holds, who asked and who agreed stay as they are.
CREATE OR REPLACE FUNCTION proposal_keeps_its_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'proposed' THEN
            RAISE EXCEPTION 'a proposal begins as proposed' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF current_user = 'tieline_owner' AND current_setting('tieline.erasing', true) = 'yes'
       AND (to_jsonb(NEW) - 'payload') = (to_jsonb(OLD) - 'payload') THEN
        RETURN NEW;
    END IF;
    IF OLD.state <> 'proposed' THEN
        RAISE EXCEPTION 'proposal % is already %', OLD.proposal_id, OLD.state USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.proposal_id, NEW.kind, NEW.object, NEW.entity_code, NEW.payload, NEW.proposed_by, NEW.proposed_at,
        NEW.reason) IS DISTINCT FROM
       (OLD.proposal_id, OLD.kind, OLD.object, OLD.entity_code, OLD.payload, OLD.proposed_by, OLD.proposed_at,
        OLD.reason) THEN
        RAISE EXCEPTION 'what proposal % asks for never changes', OLD.proposal_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'approved' AND lower(NEW.approved_by) = lower(OLD.proposed_by) THEN
        RAISE EXCEPTION '% proposed it and may not approve it', OLD.proposed_by USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

DO $$
DECLARE
    body text := pg_get_functiondef('erase_person(uuid)'::regprocedure);
    told text := 'UPDATE untranslated u SET message = regexp_replace(u.message, pattern, one.pseudonym, ''gi'')
        WHERE u.message ~* pattern;
    END LOOP;';
BEGIN
    IF position(told IN body) = 0 THEN
        RAISE EXCEPTION 'erase_person does not end its loop as it did: %', told;
    END IF;
    EXECUTE replace(body, told, 'DELETE FROM raw_record b WHERE b.source_ref ~* pattern;
        GET DIAGNOSTICS found = ROW_COUNT;
        raw_rows := raw_rows + found;
        UPDATE untranslated u
        SET message = regexp_replace(u.message, pattern, one.pseudonym, ''gi''),
            source_ref = regexp_replace(u.source_ref, pattern, one.pseudonym, ''gi'')
        WHERE u.message ~* pattern OR u.source_ref ~* pattern;
        UPDATE case_member m SET member_key = regexp_replace(m.member_key, pattern, one.pseudonym, ''gi'')
        WHERE m.member_key ~* pattern;
        UPDATE adoption_left l SET source_ref = regexp_replace(l.source_ref, pattern, one.pseudonym, ''gi'')
        WHERE l.source_ref ~* pattern;
        -- What was proposed to be linked is made again whenever somebody looks.
        DELETE FROM adoption_proposal p
        WHERE concat_ws('' '', p.source_ref, p.own_ref, p.name, p.code, p.parent, p.ours, p.our_name) ~* pattern;
        -- By these an hour is found again when something of the person changes: they follow the reference.
        UPDATE verdict v SET neighbor_keys = ARRAY(
            SELECT regexp_replace(k, pattern, one.pseudonym, ''gi'')
            FROM unnest(v.neighbor_keys) WITH ORDINALITY a (k, n) ORDER BY n)
        WHERE array_to_string(v.neighbor_keys, '' '') ~* pattern;
        UPDATE rejudge r SET neighbor_key = regexp_replace(r.neighbor_key, pattern, one.pseudonym, ''gi'')
        WHERE r.neighbor_key ~* pattern;
        PERFORM set_config(''tieline.erasing'', ''yes'', true);
        UPDATE proposal p SET payload = regexp_replace(p.payload::text, pattern, one.pseudonym, ''gi'')::jsonb
        WHERE p.payload::text ~* pattern;
        PERFORM set_config(''tieline.erasing'', '''', true);
        UPDATE what_if q SET question = regexp_replace(q.question::text, pattern, one.pseudonym, ''gi'')::jsonb,
            answer = regexp_replace(q.answer::text, pattern, one.pseudonym, ''gi'')::jsonb
        WHERE q.question::text ~* pattern OR q.answer::text ~* pattern;
    END LOOP;');
END $$;
