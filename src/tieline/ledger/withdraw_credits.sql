-- A change that was taken back, or overtaken by another one, asks for no credit any more.
UPDATE credit_proposal c SET state = 'withdrawn', ended_at = %(now)s
FROM time_entry t
JOIN verdict v ON v.verdict_id = t.verdict_id AND v.version = t.newest_version
WHERE t.entry_id = c.entry_id AND c.state = 'proposed' AND {of_entries}
  AND NOT EXISTS (SELECT FROM posted_change p WHERE p.change_id = c.change_id AND p.version = t.newest_version
                  AND p.verdict_id = v.verdict_id AND p.way = 'credit_and_rebill')
