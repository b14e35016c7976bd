-- The limits of one connection. A window and a bucket are counted in twentieths of their time, by class: the
-- ring holds 21 of them with five numbers each (the four classes, and what others than us used), so that no
-- window of any position holds more than is allowed. A quota is counted since its reset.
CREATE TABLE connection_limit (
    connection_key text NOT NULL,
    name          text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('window', 'quota', 'bucket', 'concurrent')),
    calls_max     integer NOT NULL CHECK (calls_max >= 1),
    window_seconds integer NOT NULL DEFAULT 0,
    every         text NOT NULL DEFAULT '' CHECK (every IN ('', 'day', 'hour')),
    resets_seconds integer NOT NULL DEFAULT 0,
    zone          text NOT NULL DEFAULT 'UTC',
    source        text NOT NULL,
    -- What the vendor said it allows, where that is less.
    told_max      integer,
    newest_slot   bigint NOT NULL DEFAULT 0,
    slots         integer[] NOT NULL DEFAULT array_fill(0, ARRAY[105]),
    used          integer[] NOT NULL DEFAULT array_fill(0, ARRAY[5]),
    began         timestamp,
    tokens        numeric,
    filled_at     timestamptz,
    PRIMARY KEY (connection_key, name),
    CHECK (kind IN ('quota', 'concurrent') OR window_seconds >= 1),
    CHECK ((kind = 'quota') = (every <> ''))
) WITH (fillfactor = 50);

-- One row per call that may be under way at once: a lease by the database's clock.
CREATE TABLE connection_slot (
    connection_key text NOT NULL,
    slot_no       integer NOT NULL,
    work_class    smallint NOT NULL DEFAULT 0,
    holder        text NOT NULL DEFAULT '',
    until         timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (connection_key, slot_no)
) WITH (fillfactor = 50);

-- limit_max, window_seconds and grants are read by the version before this one only.
ALTER TABLE connection_budget
    ALTER COLUMN limit_max SET DEFAULT 50,
    ALTER COLUMN window_seconds SET DEFAULT 5,
    ADD COLUMN asked_at timestamptz[] NOT NULL
        DEFAULT ARRAY['-infinity', '-infinity', '-infinity', '-infinity']::timestamptz[],
    -- A class that was let go a moment ago is there as much as one that was refused: what belongs to it is kept.
    ADD COLUMN went_at timestamptz[] NOT NULL
        DEFAULT ARRAY['-infinity', '-infinity', '-infinity', '-infinity']::timestamptz[],
    ADD COLUMN repeated_at timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN failing_since timestamptz,
    -- A system that was away gets less than it allows for as long as it was away.
    ADD COLUMN eased_until timestamptz NOT NULL DEFAULT '-infinity';
GRANT SELECT ON connection_limit, connection_slot TO tieline_web;

-- How many calls of which class count against a limit at an instant: the row, brought up to that instant.
CREATE FUNCTION limit_at(l connection_limit, p_at timestamptz) RETURNS connection_limit LANGUAGE plpgsql STABLE AS $$
DECLARE
    slot bigint;
    began timestamp;
    first integer;
BEGIN
    IF l.kind IN ('window', 'bucket') THEN
        slot := floor(extract(epoch FROM p_at) * 20 / l.window_seconds)::bigint;
        IF slot - l.newest_slot >= 21 THEN
            l.slots := array_fill(0, ARRAY[105]);
            l.used := array_fill(0, ARRAY[5]);
        ELSE
            FOR passed IN 1 .. (slot - l.newest_slot)::integer LOOP
                first := ((l.newest_slot + passed) % 21)::integer * 5;
                FOR class IN 1 .. 5 LOOP
                    l.used[class] := l.used[class] - l.slots[first + class];
                    l.slots[first + class] := 0;
                END LOOP;
            END LOOP;
        END IF;
        l.newest_slot := greatest(slot, l.newest_slot);
        IF l.kind = 'bucket' THEN
            l.tokens := least(l.calls_max, coalesce(l.tokens, l.calls_max)
                + greatest(0, extract(epoch FROM p_at - coalesce(l.filled_at, p_at))) * l.calls_max / l.window_seconds);
            l.filled_at := p_at;
        END IF;
    ELSIF l.kind = 'quota' THEN
        began := date_trunc(l.every, p_at AT TIME ZONE l.zone - make_interval(secs => l.resets_seconds));
        IF l.began IS DISTINCT FROM began THEN
            l.began := began;
            l.used := array_fill(0, ARRAY[5]);
        END IF;
    ELSE
        l.used := ARRAY(SELECT count(s.slot_no)::integer FROM generate_series(0, 4) c
                        LEFT JOIN tieline.connection_slot s
                            ON s.connection_key = l.connection_key AND s.until > p_at AND s.work_class = c
                        GROUP BY c ORDER BY c);
    END IF;
    RETURN l;
END $$;

-- How many calls of one class a limit would still let go, and how many milliseconds until that may change.
CREATE FUNCTION limit_room(
    l connection_limit, p_at timestamptz, p_class integer, p_reserved integer[], p_is_asking boolean[],
    p_is_there boolean[], p_is_eased boolean, OUT room integer, OUT wait_ms bigint
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
    -- A tenth belongs to each of the less urgent classes while it is there, an eighth where that is a whole number of
    -- calls, for what others round up is not taken from it; and half of all goes to the others at most.
    share := CASE WHEN l.kind = 'quota' THEN 0 ELSE greatest((allowed + 9) / 10, allowed / 8) END;
    taken := CASE WHEN l.kind = 'bucket' THEN allowed - least(allowed, floor(l.tokens))::integer
                  ELSE l.used[1] + l.used[2] + l.used[3] + l.used[4] + l.used[5] END;
    FOR class IN 2 .. 4 LOOP
        IF class <> p_class + 1 AND p_is_there[class] THEN
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

-- Grant one call of a class, or tell how long it is not worth asking again, and why. All workers meet at the
-- row of the connection; the instant is the database's own unless a rehearsal brings one.
CREATE FUNCTION take_leave(
    p_key text, p_class integer, p_is_repeat boolean, p_reserved integer[], p_holder text, p_lease_seconds integer,
    p_probe_seconds integer, p_repeat_tenths integer, p_repeat_seconds integer, p_at timestamptz,
    OUT is_known boolean, OUT wait_ms bigint, OUT because text, OUT is_probe boolean, OUT must_tell boolean,
    OUT slot_no integer, OUT slot_until timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    b tieline.connection_budget%ROWTYPE;
    limits tieline.connection_limit[];
    l tieline.connection_limit;
    at timestamptz;
    is_asking boolean[];
    is_there boolean[];
    has_room integer;
    wait bigint;
    place integer;
    is_held boolean := false;
BEGIN
    -- A few grants that a crash of the database forgets cost less than waiting for its disk at each call.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO b FROM tieline.connection_budget WHERE connection_key = p_key FOR UPDATE;
    is_known := FOUND;
    wait_ms := 0;
    because := '';
    is_probe := false;
    must_tell := false;
    IF NOT is_known THEN
        RETURN;
    END IF;
    at := coalesce(p_at, clock_timestamp());
    IF greatest(b.open_until, b.paused_until) > at THEN
        wait_ms := ceil(1000 * extract(epoch FROM greatest(b.open_until, b.paused_until) - at));
        because := CASE WHEN b.paused_until > at THEN 'pause' ELSE 'breaker' END;
        RETURN;
    END IF;
    -- A probe is one call in place of many: it is no repetition that could become a storm.
    is_probe := b.breaker <> 'closed';
    IF p_is_repeat AND NOT is_probe AND b.retry_tenths < p_repeat_tenths
       AND b.repeated_at > at - make_interval(secs => p_repeat_seconds) THEN
        wait_ms := ceil(1000 * extract(epoch FROM b.repeated_at + make_interval(secs => p_repeat_seconds) - at));
        because := 'retries';
        RETURN;
    END IF;
    limits := ARRAY(SELECT tieline.limit_at(c, at) FROM tieline.connection_limit c
                    WHERE c.connection_key = p_key ORDER BY c.name);
    is_asking := ARRAY(SELECT a > at - interval '2 seconds' FROM unnest(b.asked_at) WITH ORDINALITY AS t (a, n) ORDER BY n);
    is_there := ARRAY(SELECT greatest(a, w) > at - interval '2 seconds'
                      FROM unnest(b.asked_at, b.went_at) WITH ORDINALITY AS t (a, w, n) ORDER BY n);
    FOREACH l IN ARRAY limits LOOP
        SELECT r.room, r.wait_ms INTO has_room, wait
        FROM tieline.limit_room(l, at, p_class, p_reserved, is_asking, is_there, b.eased_until > at) r;
        IF has_room <= 0 AND wait > wait_ms THEN
            wait_ms := wait;
            because := l.name;
        END IF;
        is_held := is_held OR l.kind = 'concurrent';
    END LOOP;
    IF wait_ms > 0 THEN
        IF b.asked_at[p_class + 1] < at - interval '1 second' THEN
            UPDATE tieline.connection_budget SET asked_at[p_class + 1] = at WHERE connection_key = p_key;
        END IF;
        is_probe := false;
        RETURN;
    END IF;
    FOREACH l IN ARRAY limits LOOP
        CONTINUE WHEN l.kind = 'concurrent';
        l.used[p_class + 1] := l.used[p_class + 1] + 1;
        IF l.kind <> 'quota' THEN
            place := (l.newest_slot % 21)::integer * 5 + p_class + 1;
            l.slots[place] := l.slots[place] + 1;
        END IF;
        UPDATE tieline.connection_limit c
        SET newest_slot = l.newest_slot, slots = l.slots, used = l.used, began = l.began,
            tokens = l.tokens - 1, filled_at = l.filled_at
        WHERE c.connection_key = p_key AND c.name = l.name;
    END LOOP;
    IF is_held THEN
        UPDATE tieline.connection_slot s
        SET until = at + make_interval(secs => p_lease_seconds), holder = p_holder, work_class = p_class
        WHERE s.connection_key = p_key AND s.slot_no = (
            SELECT f.slot_no FROM tieline.connection_slot f
            WHERE f.connection_key = p_key AND f.until <= at ORDER BY f.slot_no LIMIT 1)
        RETURNING s.slot_no, s.until INTO slot_no, slot_until;
    END IF;
    must_tell := is_probe OR b.failures > 0 OR b.failing_since IS NOT NULL;
    UPDATE tieline.connection_budget SET
        granted = granted + 1,
        went_at[p_class + 1] = at,
        -- The next may go when this probe surely has ended.
        breaker = CASE WHEN is_probe THEN 'half_open' ELSE b.breaker END,
        open_until = CASE WHEN is_probe THEN at + make_interval(secs => p_probe_seconds) ELSE b.open_until END,
        retry_tenths = CASE WHEN p_is_repeat THEN greatest(0, b.retry_tenths - p_repeat_tenths)
                            ELSE least(1000, b.retry_tenths + 1) END,
        repeated_at = CASE WHEN p_is_repeat THEN at ELSE b.repeated_at END
    WHERE connection_key = p_key;
END $$;

-- Take over what the vendor itself says is allowed and left, where that is less than we counted.
CREATE FUNCTION note_told(p_key text, p_name text, p_limit integer, p_remaining integer, p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l tieline.connection_limit;
    allowed integer;
    others integer := 0;
    place integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM FROM tieline.connection_budget WHERE connection_key = p_key FOR UPDATE;
    SELECT (tieline.limit_at(c, coalesce(p_at, clock_timestamp()))).* INTO l
    FROM tieline.connection_limit c WHERE c.connection_key = p_key AND c.name = p_name;
    IF l.name IS NULL THEN
        RETURN;
    END IF;
    l.told_max := CASE WHEN p_limit BETWEEN 1 AND l.calls_max - 1 THEN p_limit END;
    allowed := least(l.calls_max, coalesce(l.told_max, l.calls_max));
    IF p_remaining IS NOT NULL THEN
        others := greatest(0, allowed - greatest(0, p_remaining)
                              - l.used[1] - l.used[2] - l.used[3] - l.used[4] - l.used[5]);
        l.used[5] := l.used[5] + others;
        IF l.kind IN ('window', 'bucket') THEN
            place := (l.newest_slot % 21)::integer * 5 + 5;
            l.slots[place] := l.slots[place] + others;
        END IF;
        l.tokens := least(l.tokens, greatest(0, p_remaining));
    END IF;
    UPDATE tieline.connection_limit c
    SET told_max = l.told_max, newest_slot = l.newest_slot, slots = l.slots, used = l.used, began = l.began,
        tokens = l.tokens, filled_at = l.filled_at
    WHERE c.connection_key = p_key AND c.name = p_name;
END $$;

-- How posting goes, by minute of real time: what moved, what it cost, and whether batches were full.
CREATE TABLE posting_pace (
    target_connection text NOT NULL,
    minute        timestamptz NOT NULL,
    items         integer NOT NULL,
    calls         integer NOT NULL,
    full_rounds   integer NOT NULL,
    PRIMARY KEY (target_connection, minute)
);
GRANT SELECT ON posting_pace TO tieline_web;

-- What waits at a target, by its cut-off, without saying whose it is: whoever asks for a forecast waits behind all.
CREATE FUNCTION page_backlog() RETURNS TABLE (target_connection text, deadline_at timestamptz, lines integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT target_connection, deadline_at, count(*)::integer FROM effect
    WHERE noun = 'time_line' AND state IN ('PLANNED', 'INTENT', 'UNKNOWN', 'PROBING', 'ABSENT')
    GROUP BY 1, 2
$$;
REVOKE ALL ON FUNCTION page_backlog() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_backlog() TO tieline_web, tieline_worker, tieline_judge;

-- Which target keeps the books of each legal entity in sight.
CREATE FUNCTION page_targets() RETURNS TABLE (entity_code text, target_connection text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT l.entity_code, l.erp_connection_key FROM legal_entity l
    WHERE tieline.visible_entity(l.entity_code) AND l.erp_connection_key IS NOT NULL
$$;
REVOKE ALL ON FUNCTION page_targets() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_targets() TO tieline_web, tieline_worker, tieline_judge;
