-- How what was earned is recognized, and what of the backlog is funded; unknown is what nobody can tell.
ALTER TABLE revenue_status
    ALTER COLUMN earned_amount DROP NOT NULL,
    ALTER COLUMN wip_amount DROP NOT NULL,
    ALTER COLUMN deferred_amount DROP NOT NULL,
    ADD COLUMN recognition text,
    ADD COLUMN funded_amount numeric;
