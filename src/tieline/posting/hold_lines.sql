-- Lock lines that are still where an attempt left them; whoever woke up late finds fewer.
SELECT e.business_key FROM effect e
JOIN unnest(%(keys)s::uuid[], %(attempts)s::int[]) AS k (business_key, attempt)
  ON k.business_key = e.business_key AND k.attempt = e.attempt
WHERE e.state = %(state)s
ORDER BY e.business_key FOR UPDATE OF e
