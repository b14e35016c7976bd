-- A table with fewer than 50 changed rows is never analyzed, and the planner then takes each of its columns for one
-- of 200 values: whatever joins hours by a connection or an entity is expected to find hardly any, and every hour is
-- held against every other. These are small, change rarely, and stand in almost every such statement.
ALTER TABLE connection SET (autovacuum_analyze_threshold = 0);
ALTER TABLE connection_go_live SET (autovacuum_analyze_threshold = 0);
ALTER TABLE legal_entity SET (autovacuum_analyze_threshold = 0);
ALTER TABLE fiscal_period SET (autovacuum_analyze_threshold = 0);
ALTER TABLE release SET (autovacuum_analyze_threshold = 0);
ALTER TABLE policy_value SET (autovacuum_analyze_threshold = 0);
ALTER TABLE client SET (autovacuum_analyze_threshold = 0);
ALTER TABLE intercompany_agreement SET (autovacuum_analyze_threshold = 0);
ALTER TABLE leave SET (autovacuum_analyze_threshold = 0);
ALTER TABLE work_pattern SET (autovacuum_analyze_threshold = 0);
ALTER TABLE work_place SET (autovacuum_analyze_threshold = 0);
