-- Every link in its order, with the row that it stands for. The columns come as text, so that no number is read
-- as another one.
SELECT s.seal_no, s.audit_id, s.hash, a.canonical,
       jsonb_build_object('audit_id', a.audit_id,
           'at', to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           'actor', a.actor, 'action', a.action, 'object', a.object, 'entity_code', a.entity_code,
           'reason', a.reason, 'data', a.data)::text AS columns, a.entity_code
FROM audit_seal s LEFT JOIN audit a USING (audit_id)
WHERE s.seal_no > %(after)s
ORDER BY s.seal_no
