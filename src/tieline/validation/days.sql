-- How many hours each day of a window has.
SELECT w.work_date, count(*) AS entries
FROM time_entry_version w
WHERE w.is_newest AND w.work_date >= %(starts_on)s AND w.work_date < %(ends_on)s
GROUP BY w.work_date ORDER BY w.work_date
