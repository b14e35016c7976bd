-- Every pass over clients asks which systems hold a merged client twice: they are few among all links.
CREATE INDEX crosswalk_further_client ON crosswalk (connection_key, source_ref)
    WHERE noun = 'client' AND scope <> '' AND superseded_at IS NULL;
