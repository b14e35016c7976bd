-- What proposals are made of, in a word: it is another one when a record, a link or one of ours was added or changed.
SELECT md5(concat_ws('|',
    (SELECT count(*) || ':' || coalesce(max(raw_id), 0) FROM source_version
     WHERE is_newest AND noun IN ('WorkItem', 'Client', 'Person')),
    (SELECT count(*) || ':' || coalesce(max(crosswalk_id), 0) FROM crosswalk WHERE superseded_at IS NULL),
    (SELECT count(*) || ':' || coalesce(max(recorded_at), '-infinity') FROM project_version WHERE superseded_at IS NULL),
    (SELECT count(*) || ':' || coalesce(max(recorded_at), '-infinity') FROM task WHERE superseded_at IS NULL),
    (SELECT count(*) || ':' || coalesce(max(recorded_at), '-infinity') FROM contract_line WHERE superseded_at IS NULL),
    (SELECT count(*) || ':' || coalesce(sum(hashtext(concat_ws('|', name, email))::bigint), 0) FROM subject
     WHERE kind = 'person'),
    (SELECT count(*) FROM client WHERE redirect_to IS NOT NULL))) AS marks,
    EXISTS (SELECT FROM source_version WHERE is_newest AND noun IN ('WorkItem', 'Client', 'Person')) AS is_anything
