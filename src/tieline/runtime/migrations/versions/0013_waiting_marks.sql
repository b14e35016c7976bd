-- ---------------------------------------------------------------- marks that nobody can miss
-- Whether a verdict has read what changes is not known while a judge is at work: its verdict may be stored after
-- this change is committed, from what was known before it. So each change leaves its mark, and who serves the mark
-- waits for the judges that are at work.
CREATE OR REPLACE FUNCTION mark_keys(keys text[], because text, at timestamptz) RETURNS void
LANGUAGE sql SET search_path = tieline, pg_temp AS $$
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    SELECT DISTINCT k, because, because, at FROM unnest(keys) k WHERE k IS NOT NULL
$$;

CREATE OR REPLACE FUNCTION move_period(moved uuid, to_state text, moved_by text, moved_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    found fiscal_period;
BEGIN
    SELECT * INTO found FROM fiscal_period p WHERE p.period_id = moved FOR UPDATE;
    IF found.period_id IS NULL OR (session_user = 'tieline_web' AND NOT visible_entity(found.entity_code)) THEN
        RAISE EXCEPTION 'there is no period %', moved USING ERRCODE = 'no_data_found';
    END IF;
    IF found.state = to_state THEN
        RETURN false;
    END IF;
    UPDATE fiscal_period SET state = to_state WHERE period_id = moved;
    UPDATE fiscal_period_state SET superseded_at = greatest(moved_at, recorded_at)
    WHERE period_id = moved AND superseded_at IS NULL;
    INSERT INTO fiscal_period_state (period_id, state, recorded_at, changed_by)
    VALUES (moved, to_state, moved_at, moved_by);
    INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
    VALUES ('period:' || moved, 'period.' || to_state, 'period:' || moved, moved_at);
    RETURN true;
END $$;
