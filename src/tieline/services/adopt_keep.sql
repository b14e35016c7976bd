-- Keep what is proposed in place of what was, in the order in which a person goes through it.
INSERT INTO adoption_proposal (connection_key, noun, source_ref, own_ref, name, code, parent, fit_id, fits, rivals, rank,
    ours, our_name, why)
SELECT connection_key, noun, source_ref, own_ref, name, code, parent, fit_id, fits, rivals, rank, ours, our_name, why
FROM adopt_proposed
ORDER BY array_position(ARRAY['client', 'person', 'project', 'task', 'erp_task'], noun), connection_key, name, source_ref
