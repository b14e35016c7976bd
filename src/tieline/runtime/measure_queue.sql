-- How much waits, runs or has failed per class, and how long the oldest due item has waited.
SELECT CASE work_class WHEN 0 THEN 'cut_off' WHEN 1 THEN 'billing' WHEN 2 THEN 'provisioning' ELSE 'reference' END
           AS work_class,
       state, count(*)::integer AS count,
       greatest(0, extract(epoch FROM clock_timestamp() - min(due_at)))::integer AS lag_seconds
FROM work_item
WHERE state <> 'done'
GROUP BY work_item.work_class, state
ORDER BY 1, 2
