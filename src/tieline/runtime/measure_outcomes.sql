-- Every counted outcome since the installation began.
SELECT connection_key, operation, outcome, count FROM outcome_count ORDER BY 1, 2, 3
