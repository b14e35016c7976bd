-- Rows that came past the sealing step, and waiting places whose row is gone.
SELECT coalesce(a.audit_id, u.audit_id) AS audit_id,
       CASE WHEN a.audit_id IS NULL THEN 'missing' WHEN u.audit_id IS NULL THEN 'unlinked' ELSE 'waiting' END AS found
FROM audit a FULL JOIN audit_unsealed u USING (audit_id)
WHERE NOT EXISTS (SELECT FROM audit_seal s WHERE s.audit_id = coalesce(a.audit_id, u.audit_id))
   OR u.audit_id IS NOT NULL
ORDER BY 1
