-- Propose again what was left, as after a link was made or somebody took their word back.
UPDATE adoption_left a SET superseded_at = greatest(%(now)s, a.recorded_at)
FROM unnest(%(connection_keys)s::text[], %(nouns)s::text[], %(source_refs)s::text[])
    l (connection_key, noun, source_ref)
WHERE (a.connection_key, a.noun, a.source_ref) = (l.connection_key, l.noun, l.source_ref) AND a.superseded_at IS NULL
