-- Leave records without a link as a person said, where nobody did yet; return how many.
INSERT INTO adoption_left (connection_key, noun, source_ref, left_by, reason, recorded_at)
SELECT l.connection_key, l.noun, l.source_ref, %(by)s, %(reason)s, %(now)s
FROM unnest(%(connection_keys)s::text[], %(nouns)s::text[], %(source_refs)s::text[])
    l (connection_key, noun, source_ref)
WHERE NOT EXISTS (SELECT FROM crosswalk x WHERE x.connection_key = l.connection_key AND x.noun = l.noun
                  AND x.source_ref = l.source_ref AND x.superseded_at IS NULL)
ON CONFLICT (connection_key, noun, source_ref) WHERE superseded_at IS NULL DO NOTHING
