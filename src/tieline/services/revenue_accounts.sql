-- What a CRM is to be told of its accounts: what all projects of a client came to by their newest change, and by each
-- change that was begun to be told; a row per currency. What one of them cannot tell, nobody can tell of all.
WITH account AS (
    SELECT x.connection_key, k.source_epoch, t.object, x.source_ref, coalesce(o.redirect_to, o.client_id) AS client_id,
           k.mode = 'act' AND NOT k.paused AS may_begin
    FROM unnest(%(connections)s::text[], %(objects)s::text[]) AS t (connection_key, object)
    JOIN connection k USING (connection_key)
    JOIN crosswalk x ON x.connection_key = t.connection_key AND x.noun = 'client' AND x.scope = ''
         AND daterange(x.starts_on, x.ends_on) @> %(now)s::date AND x.superseded_at IS NULL
    JOIN client o ON o.client_id = x.our_id
), project_of AS (
    SELECT coalesce(o.redirect_to, o.client_id) AS client_id, j.project_id
    FROM project j JOIN contract c USING (contract_id) JOIN client o USING (client_id)
    WHERE %(client_id)s::uuid IS NULL OR coalesce(o.redirect_to, o.client_id) = %(client_id)s
), newest AS (
    SELECT p.client_id, max(r.changed_at) AS changed_at
    FROM project_of p JOIN revenue_status r USING (project_id) WHERE r.is_newest GROUP BY p.client_id
), begun AS (
    SELECT e.connection_key, e.object, e.source_ref, e.state, right(e.part, %(instant_length)s)::timestamptz AS changed_at
    FROM unsettled_effect u JOIN effect e USING (business_key)
    WHERE u.noun = 'status' AND u.state NOT IN ('CONFIRMED', 'REJECTED', 'CONFLICT')
      AND (e.target_connection, e.object) IN (
          SELECT * FROM unnest(%(connections)s::text[], %(objects)s::text[]))
), moment AS (
    SELECT a.*, b.changed_at FROM account a JOIN begun b USING (connection_key, object, source_ref)
    WHERE a.may_begin OR b.state IN ('INTENT', 'UNKNOWN', 'PROBING')
    UNION
    SELECT a.*, n.changed_at FROM account a JOIN newest n USING (client_id)
    WHERE a.may_begin AND NOT EXISTS (
        -- Told already; or so lately that what moves again and again would be told each time.
        SELECT FROM effect e
        WHERE (e.connection_key, e.source_epoch, e.object, e.source_ref)
            = (a.connection_key, a.source_epoch, a.object, a.source_ref)
          AND e.target_connection = a.connection_key AND e.noun = 'status'
          AND e.part >= 'revenue:' || to_char(
              least(n.changed_at, %(now)s::timestamptz - make_interval(secs => %(rest_seconds)s)) AT TIME ZONE 'UTC',
              'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
)
SELECT m.client_id, m.connection_key, m.source_epoch, m.object, m.source_ref, m.changed_at, s.currency,
       min(s.entity_code) AS entity_code,
       CASE WHEN bool_and(s.wip_amount IS NOT NULL) THEN sum(s.wip_amount) END AS wip,
       sum(s.billed_amount) AS billed,
       CASE WHEN bool_and(s.backlog_amount IS NOT NULL) THEN sum(s.backlog_amount) END AS backlog
FROM moment m
JOIN project_of p USING (client_id)
CROSS JOIN LATERAL (
    SELECT f.* FROM revenue_status f
    WHERE f.project_id = p.project_id AND f.changed_at <= m.changed_at
    ORDER BY f.changed_at DESC LIMIT 1) s
GROUP BY m.client_id, m.connection_key, m.source_epoch, m.object, m.source_ref, m.changed_at, s.currency
ORDER BY m.connection_key, m.object, m.source_ref, m.changed_at, s.currency
