project_fact AS (
    SELECT p.project_id, p.contract_id, p.entity_code, n.zone AS entity_zone, n.erp_connection_key,
           v.status AS project_status, v.accepts_time, v.starts_on AS project_starts_on,
           v.ends_on AS project_ends_on, v.recorded_at AS project_recorded_at, v.at_risk_until,
           coalesce(l.redirect_to, l.client_id) AS client_id, lv.is_active AS client_is_active,
           kv.billing_method, kv.currency AS contract_currency, kv.cap_amount, kv.purchase_order,
           kv.is_purchase_order_required, kv.practice, kv.rate_card, kv.tax_treatment,
           lv.country_code AS client_country_code, kv.allows_unassigned_time, kv.is_active AS contract_is_active,
           kv.starts_on AS contract_starts_on, kv.ends_on AS contract_ends_on
    FROM project p
    JOIN contract k ON k.contract_id = p.contract_id
    JOIN client l ON l.client_id = k.client_id
    JOIN legal_entity n ON n.entity_code = p.entity_code
    LEFT JOIN project_version v ON v.project_id = p.project_id
        AND v.recorded_at <= %(known_at)s AND (v.superseded_at IS NULL OR v.superseded_at > %(known_at)s)
    LEFT JOIN contract_version kv ON kv.contract_id = p.contract_id
        AND kv.recorded_at <= %(known_at)s AND (kv.superseded_at IS NULL OR kv.superseded_at > %(known_at)s)
    LEFT JOIN client_version lv ON lv.client_id = coalesce(l.redirect_to, l.client_id)
        AND lv.recorded_at <= %(known_at)s AND (lv.superseded_at IS NULL OR lv.superseded_at > %(known_at)s)
    WHERE p.project_id IN (SELECT project_id FROM project_link)
), task_fact AS (
    SELECT t.task_id, t.project_id AS task_project_id, t.task_name, t.is_billable AS task_is_billable,
           t.is_leaf, t.starts_on AS task_starts_on, t.ends_on AS task_ends_on
    FROM task t
    WHERE t.task_id IN (SELECT task_id FROM task_link)
      AND t.recorded_at <= %(known_at)s AND (t.superseded_at IS NULL OR t.superseded_at > %(known_at)s)
), linked_task AS (
    -- Whether we have told the source of any task of this project at all.
    SELECT x.connection_key, t.project_id, count(*) AS linked_task_count
    FROM task t JOIN known_link x ON x.our_id = t.task_id AND x.noun = 'task'
    WHERE t.project_id IN (SELECT project_id FROM project_link)
    GROUP BY x.connection_key, t.project_id
), placed AS (
    SELECT c.*, pl.person_id, coalesce(pl.person_count, 0) AS person_count,
           coalesce(jl.project_count, 0) AS project_count, coalesce(tl.task_count, 0) AS task_count,
           coalesce(lt.linked_task_count, 0) AS linked_task_count, jl.project_id,
           f.contract_id, f.entity_code, f.entity_zone, f.erp_connection_key, f.project_status, f.accepts_time,
           f.project_starts_on, f.project_ends_on, f.project_recorded_at, f.at_risk_until, f.client_id, f.client_is_active,
           f.billing_method, f.contract_currency, f.cap_amount, f.purchase_order,
           f.is_purchase_order_required, f.practice, f.rate_card, f.tax_treatment, f.client_country_code, f.allows_unassigned_time, f.contract_is_active,
           f.contract_starts_on, f.contract_ends_on,
           tf.task_id AS any_task_id, tf.task_project_id,
           CASE WHEN tf.task_project_id = jl.project_id THEN tf.task_id END AS task_id,
           CASE WHEN tf.task_project_id = jl.project_id THEN tf.task_name END AS task_name,
           tf.task_is_billable, tf.is_leaf, tf.task_starts_on, tf.task_ends_on,
           coalesce(pl.person_id::text, c.connection_key || ':' || c.person_ref) AS person_key
    FROM considered c
    LEFT JOIN person_link pl USING (connection_key, person_ref, on_date)
    LEFT JOIN project_link jl USING (connection_key, project_key, on_date)
    LEFT JOIN task_link tl USING (connection_key, project_key, task_key, on_date)
    LEFT JOIN project_fact f ON f.project_id = jl.project_id
    LEFT JOIN task_fact tf ON tf.task_id = tl.task_id
    LEFT JOIN linked_task lt ON lt.connection_key = c.connection_key AND lt.project_id = jl.project_id
)
