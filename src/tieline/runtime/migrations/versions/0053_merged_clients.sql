-- A record of another system that follows a merge; turned round when the merge is undone.
CREATE TABLE client_repoint (
    merge_id      uuid NOT NULL REFERENCES client_merge,
    connection_key text NOT NULL REFERENCES connection,
    object        text NOT NULL,
    source_ref    text NOT NULL,
    before        text NOT NULL,
    after         text NOT NULL,
    turn          integer NOT NULL DEFAULT 1,
    PRIMARY KEY (merge_id, connection_key, object, source_ref)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON client_later TO tieline_web;

-- The candidates of a case, whether it is about a record without a client or about two clients of ours; those that a
-- steward said are others are left out.
CREATE OR REPLACE FUNCTION page_case_candidates(asked uuid)
RETURNS TABLE (client_id uuid, score integer, name text, vat_number text, street text, postal_code text, city text,
    country_code text, domain text, known_as text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT DISTINCT ON (l.client_id) l.client_id, f.score, n.name, n.vat_number, n.street, n.postal_code, n.city,
           n.country_code, n.domain,
           (SELECT array_agg(x.connection_key || ':' || x.source_ref ORDER BY x.connection_key, x.source_ref)
            FROM crosswalk x WHERE x.noun = 'client' AND x.our_id = l.client_id AND x.superseded_at IS NULL)
    FROM case_file c
    CROSS JOIN LATERAL (
        SELECT m[1]::uuid AS client_id, m[2]::integer AS score
        FROM regexp_matches(c.details ->> 'candidates', '([0-9a-f-]{36}) \(([0-9]+)\)', 'g') m
    ) f
    JOIN client g ON g.client_id = f.client_id
    JOIN client l ON l.client_id = coalesce(g.redirect_to, g.client_id)
    JOIN client_version n ON n.client_id = l.client_id AND n.superseded_at IS NULL
    WHERE c.case_id = asked AND c.thing_kind IN ('client', 'client_pair') AND in_sight(c.entity_code)
      AND NOT EXISTS (SELECT FROM client_decision d
                      WHERE d.client_id = f.client_id AND d.undone_at IS NULL AND NOT d.is_same
                        AND d.subject = CASE c.thing_kind WHEN 'client' THEN 'record:' || c.thing_key
                                        ELSE 'client:' || split_part(c.thing_key, ':', 1) END)
    ORDER BY l.client_id, f.score DESC
$$;

-- What each field told of the pairs of a case, and by which weights.
CREATE FUNCTION page_case_scores(asked uuid)
RETURNS TABLE (client_id uuid, score integer, odds numeric, fitted_odds numeric, told jsonb, weights_version integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT s.client_id, s.score, s.odds, s.fitted_odds, s.told, s.weights_version
    FROM case_file c
    JOIN client_score s ON s.superseded_at IS NULL
         AND s.subject = CASE c.thing_kind WHEN 'client' THEN 'record:' || c.thing_key
                         ELSE 'client:' || split_part(c.thing_key, ':', 1) END
    WHERE c.case_id = asked AND c.thing_kind IN ('client', 'client_pair') AND in_sight(c.entity_code)
$$;

-- The pairs that wait for a steward, what was put off by the one who asks last; what waits for a second person is not
-- among them.
CREATE FUNCTION page_same_clients(asking text)
RETURNS TABLE (case_id uuid, reason text, thing_kind text, thing_key text, opened_at timestamptz,
    put_off_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT c.case_id, c.reason, c.thing_kind, c.thing_key, c.opened_at, l.put_off_at
    FROM case_file c
    LEFT JOIN client_later l ON l.case_id = c.case_id AND lower(l.login) = lower(asking)
    WHERE c.state = 'open' AND in_sight(c.entity_code)
      AND c.reason IN ('client.same_client_unclear', 'client.duplicate_in_source', 'client.duplicate_suspected')
      AND NOT EXISTS (SELECT FROM proposal p WHERE p.state = 'proposed' AND (p.object = 'case:' || c.case_id
                      OR (c.thing_kind = 'client_pair' AND p.kind = 'client.merge'
                          AND p.payload ->> 'losing_id' IN (split_part(c.thing_key, ':', 1),
                                                            split_part(c.thing_key, ':', 2)))))
    ORDER BY l.put_off_at NULLS FIRST, c.due_at NULLS LAST, c.opened_at, c.case_id
$$;

REVOKE ALL ON FUNCTION page_case_scores(uuid), page_same_clients(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_case_scores(uuid), page_same_clients(text)
    TO tieline_web, tieline_worker, tieline_judge;
