-- How many calls of one class a limit would still let go, and how many milliseconds until that may change.
CREATE OR REPLACE FUNCTION limit_room(
    l connection_limit, p_at timestamptz, p_class integer, p_reserved integer[], p_is_asking boolean[],
    p_is_eased boolean, OUT room integer, OUT wait_ms bigint
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    allowed integer := least(l.calls_max, coalesce(l.told_max, l.calls_max));
    share integer;
    taken integer;
    owed integer := 0;
    slot_ms numeric;
    slot bigint;
BEGIN
    IF p_is_eased AND l.kind IN ('window', 'bucket') THEN
        allowed := greatest(1, allowed * 4 / 5);
    END IF;
    -- A tenth belongs to each of the less urgent classes while it asks, an eighth where that is a whole number of
    -- calls, for what others round up is not taken from it; and half of all goes to the others at most.
    share := CASE WHEN l.kind = 'quota' THEN 0 ELSE greatest((allowed + 9) / 10, allowed / 8) END;
    taken := CASE WHEN l.kind = 'bucket' THEN allowed - least(allowed, floor(l.tokens))::integer
                  ELSE l.used[1] + l.used[2] + l.used[3] + l.used[4] + l.used[5] END;
    FOR class IN 2 .. 4 LOOP
        IF class <> p_class + 1 AND p_is_asking[class] THEN
            owed := owed + greatest(0, share - l.used[class]);
        END IF;
    END LOOP;
    room := allowed - taken - allowed * p_reserved[p_class + 1] / 100 - least(owed, allowed / 2);
    IF p_class > 0 AND l.kind <> 'quota' THEN
        -- While somebody more urgent asks, it has its tenth and no more.
        IF true = ANY (p_is_asking[1:p_class]) THEN
            room := 0;
        END IF;
        room := greatest(room, least(share - l.used[p_class + 1], allowed - taken));
    END IF;
    wait_ms := 0;
    IF room > 0 THEN
        RETURN;
    END IF;
    CASE l.kind
        WHEN 'quota' THEN
            wait_ms := ceil(1000 * extract(epoch FROM
                ((l.began + ('1 ' || l.every)::interval + make_interval(secs => l.resets_seconds)) AT TIME ZONE l.zone)
                - p_at));
        WHEN 'concurrent' THEN
            wait_ms := 50;
        WHEN 'bucket' THEN
            wait_ms := ceil(1000.0 * l.window_seconds / l.calls_max);
        ELSE
            slot := l.newest_slot - 20;
            WHILE slot < l.newest_slot AND l.slots[(slot % 21)::integer * 5 + 1]
                + l.slots[(slot % 21)::integer * 5 + 2] + l.slots[(slot % 21)::integer * 5 + 3]
                + l.slots[(slot % 21)::integer * 5 + 4] + l.slots[(slot % 21)::integer * 5 + 5] = 0 LOOP
                slot := slot + 1;
            END LOOP;
            slot_ms := l.window_seconds * 50;
            wait_ms := ceil((slot + 21) * slot_ms - 1000 * extract(epoch FROM p_at));
    END CASE;
    wait_ms := greatest(1, wait_ms);
END $$;

-- Which target keeps the books of each legal entity in sight.
CREATE FUNCTION page_targets() RETURNS TABLE (entity_code text, target_connection text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT l.entity_code, l.erp_connection_key FROM legal_entity l
    WHERE tieline.visible_entity(l.entity_code) AND l.erp_connection_key IS NOT NULL
$$;
REVOKE ALL ON FUNCTION page_targets() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_targets() TO tieline_web, tieline_worker, tieline_judge;
