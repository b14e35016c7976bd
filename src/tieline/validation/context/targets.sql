erp_employee AS (
    SELECT d.person_id, d.entity_code, d.erp_connection_key, d.on_date, count(DISTINCT x.source_ref) AS link_count
    FROM (SELECT DISTINCT person_id, entity_code, erp_connection_key, on_date FROM counted
          WHERE person_id IS NOT NULL AND erp_connection_key IS NOT NULL) d
    JOIN known_link x ON x.connection_key = d.erp_connection_key AND x.noun = 'employee'
        AND x.our_id = d.person_id AND x.scope = d.entity_code AND x.valid @> d.on_date
    GROUP BY d.person_id, d.entity_code, d.erp_connection_key, d.on_date
), erp_task AS (
    SELECT d.contract_line_id, d.project_id, d.erp_connection_key, d.on_date,
           count(DISTINCT x.source_ref) AS link_count
    FROM (SELECT DISTINCT contract_line_id, project_id, erp_connection_key, on_date FROM counted
          WHERE contract_line_id IS NOT NULL AND erp_connection_key IS NOT NULL) d
    JOIN known_link x ON x.connection_key = d.erp_connection_key AND x.noun = 'erp_task'
        AND x.our_id = d.contract_line_id AND x.scope IN ('', d.project_id::text) AND x.valid @> d.on_date
    GROUP BY d.contract_line_id, d.project_id, d.erp_connection_key, d.on_date
)
