-- What no rule is asked of takes nothing of a cap, and no cap changes what becomes of it: time before the go-live, time
-- that nobody has approved, time that was deleted. A firm that loads its years before would have all of it judged again
-- with each page of a capped contract.
CREATE OR REPLACE FUNCTION scarce_hours_are_listed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = tieline, pg_temp AS $$
BEGIN
    DELETE FROM scarce_hour h
    WHERE h.entry_id = ANY (ARRAY(SELECT n.entry_id FROM new_rows n WHERE n.outcome = 'outside'));
    INSERT INTO scarce_hour
    SELECT DISTINCT k, n.entry_id FROM new_rows n CROSS JOIN LATERAL scarce_keys(n.neighbor_keys) k
    WHERE n.outcome <> 'outside'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

DELETE FROM scarce_hour h
USING time_entry t, verdict v
WHERE t.entry_id = h.entry_id AND v.verdict_id = t.verdict_id AND v.outcome = 'outside';
