-- Whether any assignment has planned hours is asked before every judgement.
CREATE INDEX assignment_planned ON assignment (assignment_id) WHERE planned_seconds IS NOT NULL;
