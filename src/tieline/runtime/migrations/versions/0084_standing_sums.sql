-- What stands of a contract was added up of all its effects for each page and each question at the door, and who shares
-- a cap was looked for among all hours that ever did. Both are kept by the statement that changes an effect.

LOCK TABLE effect, verdict, time_entry IN SHARE ROW EXCLUSIVE MODE;

-- What a statement added to what stands of a contract. Rows are only added, so nobody waits for anybody; whoever judges
-- puts the many of a contract together to one. Their sum is what stands.
CREATE TABLE standing_sum (
    contract_id uuid NOT NULL,
    currency    text,
    amount      numeric NOT NULL,
    seconds     bigint NOT NULL,
    is_whole    boolean NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX standing_sum_contract ON standing_sum (contract_id);
CREATE INDEX standing_sum_added ON standing_sum (contract_id) WHERE NOT is_whole;

-- Hours that share a scarce amount, and of which nothing stands. One more may be listed, none less: whoever looks asks
-- of each hour again what it is.
CREATE TABLE scarce_hour (
    neighbor_key text NOT NULL,
    entry_id     uuid NOT NULL,
    PRIMARY KEY (neighbor_key, entry_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX scarce_hour_entry ON scarce_hour (entry_id);

DO $do$
DECLARE
    kept name;
BEGIN
    FOREACH kept IN ARRAY ARRAY['standing_sum', 'scarce_hour'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', kept);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', kept);
        EXECUTE format('CREATE POLICY worker_sees_all ON %I TO tieline_worker, CURRENT_USER USING (true) WITH CHECK (true)',
                       kept);
        EXECUTE format('CREATE POLICY judge_reads_all ON %I FOR SELECT TO tieline_judge USING (true)', kept);
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I FROM tieline_worker', kept);
        EXECUTE format('GRANT SELECT ON %I TO tieline_worker, tieline_judge', kept);
    END LOOP;
END $do$;

CREATE FUNCTION effect_counts(state text, kind text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE kind WHEN 'book' THEN state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT', 'HANDED_OVER')
                     WHEN 'void' THEN state = 'CONFIRMED' ELSE false END
$$;
GRANT EXECUTE ON FUNCTION effect_counts(text, text) TO tieline_worker, tieline_web, tieline_judge;

-- What is scarce is told by the keys of its verdict. The words are those of validation/mark_rejudge.sql.
CREATE FUNCTION scarce_keys(keys text[]) RETURNS SETOF text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT k FROM unnest(keys) k WHERE k LIKE 'cap:%' OR k LIKE 'client-cap:%'
$$;
GRANT EXECUTE ON FUNCTION scarce_keys(text[]) TO tieline_worker, tieline_judge;

-- Each row says alone what it adds or takes away, so two transactions that change a booking and its void never need to
-- see one another. A booking adds its own amount; a void that the target confirmed takes away that of what it undoes.
-- Old and new rows are hashed, and all else is looked up by key, whatever was planned for a smaller set.
CREATE FUNCTION standing_is_summed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp SET enable_seqscan = off AS $$
BEGIN
    WITH moved AS MATERIALIZED (
        SELECT x.* FROM (
            -- Only a full join is never made row by row, and it stays one as long as nothing is asked inside of it.
            SELECT n.entry_id, n.undoes_key, n.kind, o.verdict_id AS old_verdict_id, o.amount AS old_amount,
                   o.seconds AS old_seconds, effect_counts(o.state, o.kind) AS counted,
                   n.verdict_id, n.amount, n.seconds, effect_counts(n.state, n.kind) AS counts
            FROM old_rows o FULL JOIN new_rows n ON n.business_key = o.business_key
            WHERE coalesce(n.noun, o.noun) = 'time_line' OFFSET 0
        ) x
        WHERE x.counted <> x.counts OR x.counts AND (x.old_verdict_id, x.old_amount, x.old_seconds)
            IS DISTINCT FROM (x.verdict_id, x.amount, x.seconds)
    ), added AS (
        SELECT verdict_id, amount, seconds FROM moved WHERE kind = 'book' AND counts
        UNION ALL
        SELECT old_verdict_id, -old_amount, -old_seconds FROM moved WHERE kind = 'book' AND counted
        UNION ALL
        SELECT b.verdict_id, -b.amount, -b.seconds
        FROM moved m
        CROSS JOIN LATERAL (SELECT * FROM effect b WHERE b.business_key = m.undoes_key OFFSET 0) b
        WHERE m.kind = 'void' AND m.counts AND NOT m.counted
    ), listed AS (
        -- What stands of an hour is no neighbor; what stood and does not any more is one again.
        DELETE FROM scarce_hour h
        WHERE h.entry_id = ANY (ARRAY(SELECT entry_id FROM moved WHERE kind = 'book' AND counts AND NOT counted))
    ), listed_again AS (
        INSERT INTO scarce_hour
        SELECT DISTINCT k, m.entry_id
        FROM moved m
        CROSS JOIN LATERAL (SELECT t.verdict_id FROM time_entry t WHERE t.entry_id = m.entry_id OFFSET 0) t
        CROSS JOIN LATERAL (SELECT v.neighbor_keys FROM verdict v WHERE v.verdict_id = t.verdict_id OFFSET 0) v
        CROSS JOIN LATERAL scarce_keys(v.neighbor_keys) k
        WHERE m.counted <> m.counts AND m.counts = (m.kind = 'void')
        ON CONFLICT DO NOTHING
    )
    INSERT INTO standing_sum (contract_id, currency, amount, seconds)
    SELECT v.contract_id, v.currency, coalesce(sum(a.amount), 0), coalesce(sum(a.seconds), 0)
    FROM added a
    CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = a.verdict_id OFFSET 0) v
    WHERE v.contract_id IS NOT NULL
    GROUP BY v.contract_id, v.currency;
    RETURN NULL;
END $$;
CREATE TRIGGER standing_is_summed AFTER UPDATE ON effect REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION standing_is_summed();

CREATE FUNCTION standing_is_gone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
BEGIN
    INSERT INTO standing_sum (contract_id, currency, amount, seconds)
    SELECT v.contract_id, v.currency, coalesce(b.sign * b.amount, 0), coalesce(b.sign * b.seconds, 0)
    FROM (SELECT -1 AS sign, OLD.verdict_id, OLD.amount, OLD.seconds WHERE OLD.kind = 'book'
          UNION ALL
          SELECT 1, b.verdict_id, b.amount, b.seconds FROM effect b WHERE b.business_key = OLD.undoes_key) b
    JOIN verdict v ON v.verdict_id = b.verdict_id
    WHERE v.contract_id IS NOT NULL;
    INSERT INTO scarce_hour
    SELECT k, t.entry_id
    FROM time_entry t JOIN verdict v ON v.verdict_id = t.verdict_id CROSS JOIN LATERAL scarce_keys(v.neighbor_keys) k
    WHERE t.entry_id = OLD.entry_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER standing_is_gone AFTER DELETE ON effect FOR EACH ROW
    WHEN (OLD.noun = 'time_line' AND effect_counts(OLD.state, OLD.kind)) EXECUTE FUNCTION standing_is_gone();

CREATE FUNCTION scarce_hours_are_listed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
BEGIN
    INSERT INTO scarce_hour
    SELECT DISTINCT k, n.entry_id FROM new_rows n CROSS JOIN LATERAL scarce_keys(n.neighbor_keys) k
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER scarce_hours_are_listed AFTER INSERT ON verdict REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION scarce_hours_are_listed();

-- What stands in another version than the source's newest is a neighbor, too, until that one is judged.
CREATE FUNCTION scarce_hour_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
BEGIN
    INSERT INTO scarce_hour
    SELECT k, NEW.entry_id FROM verdict v CROSS JOIN LATERAL scarce_keys(v.neighbor_keys) k
    WHERE v.verdict_id = NEW.verdict_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER scarce_hour_changed AFTER UPDATE OF newest_version ON time_entry FOR EACH ROW
    WHEN (NEW.verdict_id IS NOT NULL AND NEW.newest_version <> OLD.newest_version)
    EXECUTE FUNCTION scarce_hour_changed();

-- One at a time, and who finds another at it goes on: what is not put together yet counts as well.
CREATE FUNCTION fold_standing_sums() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
DECLARE
    folded bigint := 0;
BEGIN
    IF pg_try_advisory_xact_lock(hashtextextended('tieline.standing_sum', 0)) THEN
        WITH many AS MATERIALIZED (
            SELECT contract_id FROM standing_sum WHERE NOT is_whole GROUP BY 1 HAVING count(*) >= 8 LIMIT 1000
        ), parts AS (
            DELETE FROM standing_sum s USING many m WHERE s.contract_id = m.contract_id
            RETURNING s.contract_id, s.currency, s.amount, s.seconds
        )
        INSERT INTO standing_sum
        SELECT contract_id, currency, sum(amount), sum(seconds), true FROM parts GROUP BY 1, 2;
        GET DIAGNOSTICS folded = ROW_COUNT;
    END IF;
    RETURN folded;
END $$;
REVOKE EXECUTE ON FUNCTION fold_standing_sums() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fold_standing_sums() TO tieline_worker, tieline_judge;

INSERT INTO standing_sum
SELECT v.contract_id, v.currency, coalesce(sum(e.amount), 0), coalesce(sum(e.seconds), 0), true
FROM effect e
JOIN verdict v ON v.verdict_id = e.verdict_id
LEFT JOIN effect u ON u.undoes_key = e.business_key AND u.kind = 'void' AND u.state = 'CONFIRMED'
WHERE e.noun = 'time_line' AND e.kind = 'book' AND effect_counts(e.state, e.kind) AND u.business_key IS NULL
  AND v.contract_id IS NOT NULL
GROUP BY 1, 2;
INSERT INTO scarce_hour
SELECT DISTINCT k, t.entry_id
FROM time_entry t
JOIN verdict v ON v.verdict_id = t.verdict_id
CROSS JOIN LATERAL scarce_keys(v.neighbor_keys) k
LEFT JOIN (
    SELECT DISTINCT e.entry_id FROM effect e
    LEFT JOIN effect u ON u.undoes_key = e.business_key AND u.kind = 'void' AND u.state = 'CONFIRMED'
    WHERE e.noun = 'time_line' AND e.kind = 'book' AND effect_counts(e.state, e.kind) AND u.business_key IS NULL
) s ON s.entry_id = t.entry_id
WHERE s.entry_id IS NULL OR v.version <> t.newest_version;
