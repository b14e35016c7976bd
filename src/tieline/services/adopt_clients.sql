-- Who a client is, is asked in a case of its own, and answered by two people: said, and nothing is proposed.
INSERT INTO adopt_proposed (connection_key, noun, source_ref, own_ref, name, code, parent, fits, rivals, rank, ours, our_name)
SELECT n.connection_key, 'client', n.source_ref, n.source_ref, n.name, '', '', 0, 0, 9, '', ''
FROM adoption_record n
WHERE n.noun = 'Client'
  AND NOT EXISTS (SELECT FROM crosswalk x WHERE x.connection_key = n.connection_key AND x.noun = 'client'
                  AND x.source_ref = n.source_ref AND x.superseded_at IS NULL AND x.scope = '')
  AND NOT EXISTS (SELECT FROM unnest(%(stranger_keys)s::text[], %(stranger_refs)s::text[]) s (connection_key, source_ref)
                  WHERE s.connection_key = n.connection_key AND s.source_ref = n.source_ref)
