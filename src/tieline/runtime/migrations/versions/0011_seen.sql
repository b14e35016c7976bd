-- What was computed and shown nowhere: refused changes, the clients a record may be, and what a source and a
-- target answer themselves.

-- The command line and the worker see everything; a page what its transaction was opened for.
CREATE FUNCTION in_sight(entity_code text) RETURNS boolean LANGUAGE sql STABLE SET search_path = tieline, pg_temp AS $$
    SELECT session_user <> 'tieline_web' OR page_sees(entity_code)
$$;

-- ---------------------------------------------------------------- what moves in a period
-- Looking takes no lock: only closing holds back whoever is about to send.
CREATE FUNCTION period_moving(asked uuid)
RETURNS TABLE (what text, items bigint, seconds bigint, amount numeric, currency text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
DECLARE
    found fiscal_period;
BEGIN
    SELECT * INTO found FROM fiscal_period p WHERE p.period_id = asked;
    IF found.period_id IS NULL OR (session_user = 'tieline_web' AND NOT visible_entity(found.entity_code)) THEN
        RAISE EXCEPTION 'there is no period %', asked USING ERRCODE = 'no_data_found';
    END IF;
    RETURN QUERY
    SELECT x.what, count(*), sum(x.seconds)::bigint, sum(x.amount), x.currency
    FROM (
        SELECT 'unconfirmed' AS what, abs(e.seconds) AS seconds, abs(e.amount) AS amount, e.currency FROM effect e
        WHERE e.period_id = asked AND e.noun = 'time_line' AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING')
        UNION ALL
        SELECT p.place, p.seconds, v.amount, v.currency FROM entry_place p LEFT JOIN verdict v USING (verdict_id)
        WHERE p.period_id = asked AND p.place IN ('pending', 'held', 'leaving')
          AND NOT EXISTS (SELECT FROM effect e WHERE e.entry_id = p.entry_id AND e.noun = 'time_line'
                          AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING'))
        UNION ALL
        SELECT 'released', r.seconds, r.expected_amount, r.currency FROM release_lock k
        JOIN readiness r USING (contract_id, period_id) WHERE k.period_id = asked AND k.unlocked_at IS NULL
    ) x GROUP BY x.what, x.currency ORDER BY x.what, x.currency;
END $$;
CREATE OR REPLACE FUNCTION period_in_flight(asked uuid)
RETURNS TABLE (what text, items bigint, seconds bigint, amount numeric, currency text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM FROM fiscal_period p WHERE p.period_id = asked FOR UPDATE;
    RETURN QUERY SELECT * FROM period_moving(asked);
END $$;
REVOKE ALL ON FUNCTION period_moving(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION period_moving(uuid) TO tieline_web, tieline_worker, tieline_judge;

-- ---------------------------------------------------------------- refused changes
-- One row per field that a system which does not own it says otherwise; values are not kept.
CREATE TABLE drift (
    noun          text NOT NULL,
    our_id        uuid NOT NULL,
    field         text NOT NULL,
    written_by    text NOT NULL,
    owner_kind    text NOT NULL,
    since         timestamptz NOT NULL,
    ended_at      timestamptz,
    PRIMARY KEY (noun, our_id, field, written_by)
);
INSERT INTO drift (noun, our_id, field, written_by, owner_kind, since)
SELECT e.subject_kind, e.subject_id::uuid, e.data ->> 'field', e.data ->> 'written_by', e.data ->> 'owner_kind',
       min(e.occurred_at)
FROM event e WHERE e.type = 'register.write_refused' GROUP BY 1, 2, 3, 4, 5
ON CONFLICT DO NOTHING;

-- Clients belong to no legal entity: whoever is in for any sees them.
CREATE FUNCTION page_drifts()
RETURNS TABLE (noun text, our_id uuid, name text, field text, owner_kind text, owner_key text, owner_system text,
    owner_ref text, written_by text, writer_system text, writer_ref text, since timestamptz, ended_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT d.noun, d.our_id, n.name, d.field, d.owner_kind, o.connection_key, o.system, o.source_ref,
           d.written_by, w.system, w.source_ref, d.since, d.ended_at
    FROM drift d
    LEFT JOIN client c ON c.client_id = d.our_id AND d.noun = 'client'
    LEFT JOIN client_version n ON n.client_id = coalesce(c.redirect_to, c.client_id) AND n.superseded_at IS NULL
    LEFT JOIN LATERAL (
        SELECT k.connection_key, k.system, x.source_ref FROM connection k
        LEFT JOIN crosswalk x ON x.connection_key = k.connection_key AND x.noun = d.noun AND x.our_id = d.our_id
             AND x.superseded_at IS NULL
        WHERE k.kind = d.owner_kind ORDER BY x.source_ref NULLS LAST, k.connection_key LIMIT 1
    ) o ON true
    LEFT JOIN LATERAL (
        SELECT k.system, x.source_ref FROM connection k
        LEFT JOIN crosswalk x ON x.connection_key = k.connection_key AND x.noun = d.noun AND x.our_id = d.our_id
             AND x.superseded_at IS NULL
        WHERE k.connection_key = d.written_by ORDER BY x.source_ref NULLS LAST LIMIT 1
    ) w ON true
    WHERE in_sight(NULL)
    ORDER BY d.ended_at IS NOT NULL, d.since DESC, n.name, d.field
$$;

-- ---------------------------------------------------------------- which client is it?
-- The record that a case is about, and the clients it may be, as a person compares them.
CREATE FUNCTION page_case_record(asked uuid)
RETURNS TABLE (connection_key text, source_ref text, version integer, name text, vat_number text, street text,
    postal_code text, city text, country_code text, domain text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT v.connection_key, v.source_ref, v.version, v.data ->> 'name', v.data ->> 'vat_number',
           v.data ->> 'street', v.data ->> 'postal_code', v.data ->> 'city', v.data ->> 'country_code',
           v.data ->> 'domain'
    FROM case_file c
    JOIN source_version v ON v.connection_key = split_part(c.thing_key, ':', 1)
         AND v.source_ref = substr(c.thing_key, length(split_part(c.thing_key, ':', 1)) + 2)
         AND v.noun = 'Client' AND v.is_newest
    JOIN connection k ON k.connection_key = v.connection_key AND k.source_epoch = v.source_epoch
    WHERE c.case_id = asked AND c.thing_kind = 'client' AND in_sight(c.entity_code)
$$;
CREATE FUNCTION page_case_candidates(asked uuid)
RETURNS TABLE (client_id uuid, score integer, name text, vat_number text, street text, postal_code text, city text,
    country_code text, domain text, known_as text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT DISTINCT ON (l.client_id) l.client_id, f.score, n.name, n.vat_number, n.street, n.postal_code, n.city,
           n.country_code, n.domain,
           (SELECT array_agg(x.connection_key || ':' || x.source_ref ORDER BY x.connection_key) FROM crosswalk x
            WHERE x.noun = 'client' AND x.our_id = l.client_id AND x.superseded_at IS NULL)
    FROM case_file c
    CROSS JOIN LATERAL (
        SELECT m[1]::uuid AS client_id, m[2]::integer AS score
        FROM regexp_matches(c.details ->> 'candidates', '([0-9a-f-]{36}) \(([0-9]+)\)', 'g') m
    ) f
    JOIN client g ON g.client_id = f.client_id
    JOIN client l ON l.client_id = coalesce(g.redirect_to, g.client_id)
    JOIN client_version n ON n.client_id = l.client_id AND n.superseded_at IS NULL
    WHERE c.case_id = asked AND c.thing_kind = 'client' AND in_sight(c.entity_code)
    ORDER BY l.client_id, f.score DESC
$$;

CREATE FUNCTION page_client(asked uuid)
RETURNS TABLE (client_id uuid, score integer, name text, vat_number text, street text, postal_code text, city text,
    country_code text, domain text, known_as text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT l.client_id, NULL::integer, n.name, n.vat_number, n.street, n.postal_code, n.city, n.country_code, n.domain,
           (SELECT array_agg(x.connection_key || ':' || x.source_ref ORDER BY x.connection_key) FROM crosswalk x
            WHERE x.noun = 'client' AND x.our_id = l.client_id AND x.superseded_at IS NULL)
    FROM client g
    JOIN client l ON l.client_id = coalesce(g.redirect_to, g.client_id)
    JOIN client_version n ON n.client_id = l.client_id AND n.superseded_at IS NULL
    WHERE g.client_id = asked AND in_sight(NULL)
$$;

-- ---------------------------------------------------------------- asked of the other side itself
-- When a source or a target was last asked what it counts, and what it said, by legal entity ('': not known yet)
-- and month. What is being withdrawn, looked for or sent while it is asked stands apart.
CREATE TABLE conservation_check (
    side          text NOT NULL CHECK (side IN ('source', 'target')),
    connection_key text NOT NULL REFERENCES connection,
    asked_at      timestamptz NOT NULL,
    PRIMARY KEY (side, connection_key)
);
CREATE TABLE conservation_line (
    side          text NOT NULL,
    connection_key text NOT NULL,
    entity_code   text NOT NULL,
    month_on      date NOT NULL,
    asked_at      timestamptz NOT NULL,
    theirs_seconds bigint NOT NULL,
    ours_seconds  bigint NOT NULL,
    gap_seconds   bigint NOT NULL,
    apart_seconds bigint NOT NULL,
    PRIMARY KEY (side, connection_key, entity_code, month_on),
    FOREIGN KEY (side, connection_key) REFERENCES conservation_check
);
-- checks: in how many checks in a row the two sides differed.
CREATE TABLE conservation_difference (
    side          text NOT NULL,
    connection_key text NOT NULL,
    entity_code   text NOT NULL,
    month_on      date NOT NULL,
    project_ref   text NOT NULL,
    theirs_seconds bigint NOT NULL,
    ours_seconds  bigint NOT NULL,
    since         timestamptz NOT NULL,
    checks        integer NOT NULL,
    PRIMARY KEY (side, connection_key, entity_code, month_on, project_ref),
    FOREIGN KEY (side, connection_key) REFERENCES conservation_check
);

-- Every source of time and every ERP that was given hours, whether it was asked yet or not.
CREATE FUNCTION page_checks()
RETURNS TABLE (side text, connection_key text, system text, asked_at timestamptz, theirs_seconds bigint,
    ours_seconds bigint, gap_seconds bigint, apart_seconds bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT w.side, w.connection_key, w.system, coalesce(min(l.asked_at), CASE WHEN w.side = 'source' THEN min(k.asked_at) END),
           sum(l.theirs_seconds)::bigint, sum(l.ours_seconds)::bigint, sum(l.gap_seconds)::bigint,
           sum(l.apart_seconds)::bigint
    FROM (
        SELECT 'source' AS side, c.connection_key, c.system FROM connection c WHERE c.kind = 'time'
        UNION ALL
        SELECT 'target', c.connection_key, c.system FROM connection c
        WHERE EXISTS (SELECT FROM legal_entity e WHERE e.erp_connection_key = c.connection_key
                      AND in_sight(e.entity_code))
    ) w
    LEFT JOIN conservation_check k USING (side, connection_key)
    LEFT JOIN conservation_line l ON l.side = w.side AND l.connection_key = w.connection_key
         AND in_sight(nullif(l.entity_code, ''))
    WHERE in_sight(NULL)
    GROUP BY 1, 2, 3 ORDER BY 1, 2
$$;
CREATE FUNCTION page_differences()
RETURNS TABLE (side text, connection_key text, entity_code text, month_on date, project_ref text,
    theirs_seconds bigint, ours_seconds bigint, since timestamptz, checks integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tieline, pg_temp AS $$
    SELECT d.side, d.connection_key, d.entity_code, d.month_on, d.project_ref, d.theirs_seconds, d.ours_seconds,
           d.since, d.checks
    FROM conservation_difference d WHERE in_sight(nullif(d.entity_code, ''))
    ORDER BY abs(d.theirs_seconds - d.ours_seconds) DESC, d.connection_key, d.month_on, d.project_ref
$$;

REVOKE ALL ON FUNCTION page_drifts(), page_case_record(uuid), page_case_candidates(uuid), page_client(uuid),
    page_checks(), page_differences() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION page_drifts(), page_case_record(uuid), page_case_candidates(uuid), page_client(uuid),
    page_checks(), page_differences() TO tieline_web, tieline_worker, tieline_judge;
