-- Whose employee somebody is on a day is looked up by the person: by the day, it was sought among all who are employed
-- then, once for each person and day, and that was most of what *Missing time* cost.
DO $$
DECLARE
    body text := pg_get_functiondef('expected_day(uuid, date, timestamptz)'::regprocedure);
    told text := 'e.is_home AND daterange(e.starts_on, e.ends_on) @> on_date';
BEGIN
    IF position(told IN body) = 0 THEN
        RAISE EXCEPTION 'expected_day does not look for employments as it did: %', told;
    END IF;
    EXECUTE replace(body, told, 'e.is_home AND e.starts_on <= on_date AND (e.ends_on IS NULL OR on_date < e.ends_on)');
END $$;
