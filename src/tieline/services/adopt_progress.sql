-- How many records of each system are linked by noun.
SELECT x.connection_key, x.noun, count(DISTINCT x.source_ref) AS linked
FROM crosswalk x
JOIN connection k USING (connection_key)
WHERE x.noun IN ('client', 'person', 'project', 'task', 'erp_task') AND x.superseded_at IS NULL AND x.scope = ''
GROUP BY 1, 2
