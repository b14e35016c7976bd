-- A record of another system as it can be adopted: what its newest version is called, and by what it is found.
CREATE VIEW adoption_record AS
SELECT s.connection_key, c.kind AS system_kind, s.source_ref, s.noun, s.data->>'kind' AS item_kind,
       coalesce(btrim(s.data->>'name'), '') AS name, nullif(btrim(s.data->>'code'), '') AS code,
       s.data->>'parent_ref' AS parent_ref, s.data->>'client_ref' AS client_ref,
       lower(btrim(s.data->>'email')) AS email, s.data->'extras'->>'list_price' AS rate
FROM source_version s
JOIN connection c ON c.connection_key = s.connection_key AND c.source_epoch = s.source_epoch
WHERE s.is_newest AND NOT s.is_deleted AND s.noun IN ('WorkItem', 'Client', 'Person');

-- What was proposed to be linked when somebody, or a worker, looked last: how many of ours fit a record (fits), how
-- many records fit that one of ours (rivals), and by what. It can be made again at any time.
CREATE TABLE adoption_proposal (
    number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_key text NOT NULL,
    noun          text NOT NULL CHECK (noun IN ('client', 'person', 'project', 'task', 'erp_task')),
    source_ref    text NOT NULL,
    own_ref       text NOT NULL,
    name          text NOT NULL,
    code          text NOT NULL,
    parent        text NOT NULL,
    fit_id        uuid,
    fits          bigint NOT NULL,
    rivals        bigint NOT NULL,
    rank          integer,
    ours          text NOT NULL,
    our_name      text NOT NULL,
    why           text,
    UNIQUE (connection_key, noun, source_ref)
);

-- The last look: which it was, when, of what (marks), and how far the next one is.
CREATE TABLE adoption_look (
    is_only       boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    look_no       bigint NOT NULL DEFAULT 0,
    known_at      timestamptz,
    proposed_by   text,
    marks         text,
    state         text NOT NULL DEFAULT 'done' CHECK (state IN ('waiting', 'running', 'done')),
    steps_done    integer NOT NULL DEFAULT 0,
    asked_by      text,
    asked_at      timestamptz,
    CHECK ((known_at IS NULL) = (look_no = 0))
);
INSERT INTO adoption_look DEFAULT VALUES;

-- What became of each proposal since: one that was linked is none any more, one that was left says by whom, and one
-- whose counterpart was linked to another record says to which.
CREATE VIEW adoption_standing AS
SELECT p.number, p.connection_key, p.noun, p.source_ref, p.name, p.code, p.parent,
       CASE WHEN p.fits = 1 AND p.rivals = 1 AND NOT s.is_taken THEN p.fit_id END AS our_id, p.ours, p.our_name,
       CASE WHEN p.noun = 'client' THEN 'client'
            WHEN s.is_left THEN 'left'
            WHEN p.fits = 0 THEN 'nothing'
            WHEN p.fits > 1 THEN 'several'
            WHEN s.is_taken THEN 'taken'
            WHEN p.rivals > 1 THEN 'rivals'
            WHEN p.rank = 3 THEN 'weak'
            ELSE 'strong' END AS state,
       CASE WHEN p.noun = 'client' THEN 'no client of ours is surely this one: decide in its case Same client?'
            WHEN s.is_left THEN (
                SELECT l.left_by || ' left it: ' || l.reason FROM adoption_left l
                WHERE l.connection_key = p.connection_key AND l.noun = p.noun AND l.source_ref = p.source_ref
                  AND l.superseded_at IS NULL)
            WHEN p.fits = 0 THEN 'nothing of ours has this code or name'
            WHEN p.fits > 1 THEN p.fits || ' of ours fit: ' || p.why
            WHEN s.is_taken THEN (
                SELECT 'ours is ' || min(x.source_ref) || ' there already' FROM crosswalk x
                WHERE x.connection_key = p.connection_key AND x.noun = p.noun AND x.our_id = p.fit_id
                  AND x.superseded_at IS NULL AND x.scope = '')
            WHEN p.rivals > 1 THEN p.rivals || ' records there fit the same one of ours: ' || p.why
            ELSE p.why END AS why
FROM adoption_proposal p
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM adoption_left l
                   WHERE l.connection_key = p.connection_key AND l.noun = p.noun AND l.source_ref = p.source_ref
                     AND l.superseded_at IS NULL) AS is_left,
           EXISTS (SELECT FROM crosswalk x
                   WHERE x.connection_key = p.connection_key AND x.noun = p.noun AND x.our_id = p.fit_id
                     AND x.superseded_at IS NULL AND x.scope = '') AS is_taken
) s
WHERE NOT EXISTS (SELECT FROM crosswalk x
                  WHERE x.connection_key = p.connection_key AND x.noun = p.noun AND x.source_ref = p.source_ref
                    AND x.superseded_at IS NULL AND x.scope = '')
  AND NOT EXISTS (SELECT FROM crosswalk x
                  WHERE x.connection_key = p.connection_key AND x.noun = p.noun AND x.source_ref = p.own_ref
                    AND x.superseded_at IS NULL AND x.scope = '');

-- Like links they belong to no legal entity, and only the worker reads them.
GRANT SELECT ON adoption_record, adoption_standing TO tieline_worker;
GRANT SELECT, INSERT, DELETE ON adoption_proposal TO tieline_worker;
GRANT SELECT, UPDATE ON adoption_look TO tieline_worker;
