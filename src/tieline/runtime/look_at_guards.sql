-- Roles that see past row security, and tables of a legal entity that pages read without it.
SELECT 'role' AS kind, rolname::text AS name FROM pg_roles
WHERE rolname = ANY (%(roles)s) AND (rolsuper OR rolbypassrls)
UNION ALL
SELECT 'table', c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'tieline' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND has_table_privilege('tieline_web', c.oid, 'SELECT')
  AND EXISTS (SELECT FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attname = 'entity_code' AND NOT a.attisdropped)
  AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
ORDER BY 1, 2
