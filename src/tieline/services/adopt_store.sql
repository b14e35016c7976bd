-- Link what a person confirmed, where neither side is linked otherwise; return what was linked. Each side is asked for by
-- itself: asked for either at once, every record met all that its system has.
INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)
SELECT c.connection_key, c.noun, c.source_ref, c.our_id, c.because, %(now)s
FROM adopt_confirmed c
WHERE c.number > %(after)s AND c.number <= %(until)s
  AND NOT EXISTS (SELECT FROM crosswalk x
                  WHERE x.connection_key = c.connection_key AND x.noun = c.noun AND x.superseded_at IS NULL
                    AND x.source_ref = c.source_ref)
  AND NOT EXISTS (SELECT FROM crosswalk x
                  WHERE x.connection_key = c.connection_key AND x.noun = c.noun AND x.superseded_at IS NULL
                    AND x.our_id = c.our_id)
RETURNING connection_key, noun, source_ref
