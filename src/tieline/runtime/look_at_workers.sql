-- Workers that breathe, by the database's own clock, those that stopped without a goodbye, and what waits for them.
SELECT (SELECT count(*) FROM executor WHERE state = 'alive' AND lease_until >= clock_timestamp())::integer AS alive,
       (SELECT count(*) FROM executor WHERE state = 'alive' AND lease_until < clock_timestamp())::integer AS silent,
       (SELECT array_agg(DISTINCT version ORDER BY version) FROM executor
        WHERE state = 'alive' AND lease_until >= clock_timestamp()) AS versions
