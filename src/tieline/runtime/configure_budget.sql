-- The limits that a connection has now. What was counted stays, unless it is counted in another way than before.
INSERT INTO connection_limit AS c (connection_key, name, kind, calls_max, window_seconds, every, resets_seconds, zone,
    source)
SELECT %(connection_key)s, l.* FROM unnest(%(names)s::text[], %(kinds)s::text[], %(calls)s::integer[],
    %(windows)s::integer[], %(every)s::text[], %(resets)s::integer[], %(zones)s::text[], %(sources)s::text[])
    AS l (name, kind, calls_max, window_seconds, every, resets_seconds, zone, source)
ON CONFLICT (connection_key, name) DO UPDATE SET
    kind = excluded.kind, calls_max = excluded.calls_max, window_seconds = excluded.window_seconds,
    every = excluded.every, resets_seconds = excluded.resets_seconds, zone = excluded.zone, source = excluded.source,
    told_max = NULL,
    (newest_slot, slots, used, began, tokens, filled_at) = (
        SELECT CASE WHEN is_same THEN c.newest_slot ELSE 0 END,
               CASE WHEN is_same THEN c.slots ELSE array_fill(0, ARRAY[105]) END,
               CASE WHEN is_same THEN c.used ELSE array_fill(0, ARRAY[5]) END,
               CASE WHEN is_same THEN c.began END, CASE WHEN is_same THEN c.tokens END,
               CASE WHEN is_same THEN c.filled_at END
        FROM (SELECT (c.kind, c.window_seconds, c.every, c.resets_seconds, c.zone)
                   = (excluded.kind, excluded.window_seconds, excluded.every, excluded.resets_seconds, excluded.zone)
                     AS is_same) AS counted)
WHERE (c.kind, c.calls_max, c.window_seconds, c.every, c.resets_seconds, c.zone, c.source)
   <> (excluded.kind, excluded.calls_max, excluded.window_seconds, excluded.every, excluded.resets_seconds,
       excluded.zone, excluded.source)
