-- Work that was done; what failed waits for a person.
DELETE FROM work_item WHERE work_id IN (
    SELECT work_id FROM work_item
    WHERE state = 'done' AND updated_at < clock_timestamp() - make_interval(secs => %(keep_seconds)s)
    LIMIT %(batch_max)s)
