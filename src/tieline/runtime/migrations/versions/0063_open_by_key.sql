-- What is open is found by its key whatever the planner believes: statistics taken while nothing was open made it walk
-- all that is open once for each line of a batch, 2 seconds for 500 lines. An insert that meets its own key looks each
-- one up; what goes is planned anew with its keys at hand.
CREATE OR REPLACE FUNCTION effects_are_settled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
DECLARE
    gone uuid[];
    left_over bigint;
BEGIN
    SELECT count(*) FILTER (WHERE k.is_open), array_agg(k.business_key) FILTER (WHERE NOT k.is_open)
    INTO left_over, gone
    FROM (SELECT n.business_key,
                 effect_is_unsettled(n.state, n.reason, n.noun, n.kind, n.attempt, n.asked_again_at) AS is_open
          FROM new_rows n) k;
    IF gone IS NOT NULL THEN
        EXECUTE 'DELETE FROM unsettled_effect WHERE business_key = ANY ($1)' USING gone;
    END IF;
    IF left_over > 0 THEN
        -- What was settled and is not any more, such as a line that was found altered afterwards, is new here.
        INSERT INTO unsettled_effect AS u
        SELECT n.business_key, n.target_connection, n.entity_code, n.period_id, n.noun, n.kind, n.state,
               n.attempt = 0, n.due_at, n.deadline_at, n.amount, n.planned_at, n.entry_id
        FROM new_rows n
        WHERE effect_is_unsettled(n.state, n.reason, n.noun, n.kind, n.attempt, n.asked_again_at)
        ON CONFLICT (business_key) DO UPDATE
        SET state = excluded.state, is_first = excluded.is_first, due_at = excluded.due_at,
            deadline_at = excluded.deadline_at, amount = excluded.amount, planned_at = excluded.planned_at,
            period_id = excluded.period_id, entity_code = excluded.entity_code;
    END IF;
    RETURN NULL;
END $$;
