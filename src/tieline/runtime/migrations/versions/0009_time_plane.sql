-- Each step of an effect asks the ledger whether a line refers to it; without this index it reads all of it.
CREATE INDEX ledger_line_effect ON ledger_line (business_key);

-- What a scope still has to do, in the order in which it is sent.
CREATE INDEX effect_scope ON effect (target_connection, entity_code, period_id, work_class, deadline_at, business_key)
    WHERE noun = 'time_line' AND state NOT IN ('CONFIRMED', 'REJECTED', 'WITHDRAWN');

-- Neighbors are looked up key by key: each look-up would read the whole list of rows not yet sorted in.
ALTER INDEX verdict_neighbor_keys SET (fastupdate = off);

-- What stands of an hour is found by one index alone. On the hour alone, a planner without statistics
-- combined it with the whole index of projects, for every hour anew.
DROP INDEX effect_entry;
CREATE INDEX effect_entry ON effect (entry_id, noun, kind);
