-- What holds back a line before it goes out, over the wire or in a file. Whether there is anything of a kind at all
-- is asked once; only then it is asked of each line.
      AND (NOT (SELECT EXISTS (SELECT FROM rejudge)) OR NOT EXISTS (
           SELECT FROM rejudge r
           WHERE r.neighbor_key = ANY (v.neighbor_keys || ARRAY['release', 'period:' || e.period_id])))
      AND (NOT (SELECT EXISTS (SELECT FROM release_lock k WHERE k.unlocked_at IS NULL))
           OR NOT tieline.contract_is_locked(v.contract_id, coalesce(e.books_on, v.work_date)))
      AND (NOT (SELECT EXISTS (SELECT FROM posting_stop s WHERE s.lifted_at IS NULL))
           OR NOT EXISTS (SELECT FROM tieline.stops_over(e.connection_key, e.target_connection, e.entity_code,
                                                         e.period_id, e.project_id, e.noun)))
      -- After a restore what goes out was asked about first, and nothing of the hour stands unsettled.
      AND NOT EXISTS (SELECT FROM restoration r WHERE r.phase <> 'over' AND (
              NOT EXISTS (SELECT FROM restored_ask a WHERE a.restoration_id = r.restoration_id
                          AND a.entry_id = e.entry_id AND a.entity_code = e.entity_code)
              OR EXISTS (SELECT FROM restored_write w WHERE w.restoration_id = r.restoration_id
                         AND w.entry_id = e.entry_id AND w.settled_at IS NULL)))
      -- What is above a cap follows what fills it: nobody can tell how much is used by half of an hour.
      AND (e.part <> 'capped' OR NOT EXISTS (
           SELECT FROM effect m WHERE m.entry_id = e.entry_id AND m.noun = 'time_line' AND m.kind = 'book'
             AND m.part = 'main' AND m.state IN ('PLANNED', 'ABSENT', 'REJECTED')))
