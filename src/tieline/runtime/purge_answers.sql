-- Answers of the API that nobody will ask to be repeated any more.
DELETE FROM api_answer WHERE (key_id, idempotency_key) IN (
    SELECT key_id, idempotency_key FROM api_answer
    WHERE recorded_at < clock_timestamp() - make_interval(secs => %(keep_seconds)s)
    LIMIT %(batch_max)s)
