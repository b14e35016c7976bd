context AS (
    SELECT c.subject_no, c.entry_id, c.version, c.connection_key, c.source_epoch, c.object, c.source_ref,
        c.correlation_id, c.recorded_at, c.project_recorded_at, c.at_risk_until,
        c.is_deleted, c.approval, c.approver_ref, c.is_excluded, c.is_before_go_live, c.is_counted,
        NOT c.is_counted AND c.standing_count > 0 AS is_leaving,
        c.person_ref, c.person_id, c.person_count, c.project_ref, c.project_id, c.project_count,
        c.project_status, c.accepts_time, c.project_starts_on, c.project_ends_on,
        c.at_risk_until IS NOT NULL AS is_at_risk,
        c.task_ref, c.task_id, c.task_name, c.task_count, c.linked_task_count,
        c.task_project_id <> c.project_id AS is_task_elsewhere, c.is_leaf, c.task_starts_on, c.task_ends_on,
        c.contract_id, c.contract_is_active, c.contract_starts_on, c.contract_ends_on, c.billing_method,
        c.contract_currency,
        CASE WHEN po.order_count IS NULL THEN c.purchase_order ELSE po.order_number END AS purchase_order,
        po.order_count AS purchase_order_count, ll.purchase_order_left_amount, c.is_purchase_order_required, c.allows_unassigned_time,
        c.client_id, c.client_is_active, c.entity_code, c.erp_connection_key,
        coalesce(ee.link_count, 0) AS erp_employee_count, coalesce(et.link_count, 0) AS erp_task_count,
        c.home_entity_code, c.home_count, c.employment_count, c.has_employee_record, c.cost_rate,
        coalesce(a.agreement_id IS NOT NULL, false) AS is_intercompany_agreed,
        c.assignment_count, c.covering_count, c.labor_category, c.leave_count,
        c.has_line_for_every_task, c.has_line_for_every_category,
        c.contract_line_id, c.rate_count, c.rate_amount, c.currency, c.is_billable,
        CASE WHEN ov.seconds IS NULL THEN coalesce(db.amount, c.amount)
             ELSE round((c.seconds - ov.seconds) * c.rate_amount / 3600, tieline.currency_digits(c.currency))
             END AS amount,
        ov.seconds AS capped_seconds, ov.line_id AS capped_line_id, ov.task_count AS capped_task_count,
        ov.step_seconds IS NOT NULL AS is_cap_split, ov.asked_line_id IS NOT NULL AS has_capped_line,
        c.rate_level, c.rate_ref, c.fx_rate_id, c.is_fx_missing, c.billing_terms_id, c.rate_min, c.rate_max,
        c.markup_percent, c.cost_rate_count, c.line_rate_amount, coalesce(db.billed_seconds, c.billed_seconds) AS billed_seconds,
        c.cap_amount,
        CASE WHEN c.cap_amount IS NOT NULL THEN coalesce(cs.amount, 0) - coalesce(c.standing_amount, 0)
             + coalesce(q.before_amount, 0) END AS cap_used_amount,
        ll.cap_left_amount, ll.cap_left_seconds, ll.funding_left_amount, ll.funding_left_seconds,
        ll.budget_left_amount, ll.budget_left_seconds, ll.retainer_left_amount, ll.retainer_left_seconds,
        ll.limit_foreign_count, ar.assigned_rate_amount, tt.treatment_count, ac.has_revenue_account,
        tp.home_entity_code IS NOT NULL AS has_transfer_prices, tr.transfer_price_id,
        tr.price_amount AS transfer_price_amount, tr.currency AS transfer_currency,
        he.currency AS home_currency, pe.currency AS entity_currency, hp.state AS home_period_state,
        c.period_id, c.period_state, sp.state AS standing_period_state, c.standing_period_id,
        c.standing_project_id, c.standing_entity_code, c.standing_count, NOT un.is_changed AS is_posted_unchanged, c.standing_hash,
        c.is_standing_invoiced,
        g.entry_id IS NOT NULL AS is_change_agreed, g.booking_period_state, g.reversal_period_state,
        o.change_in_open_period AS policy_change_in_open_period,
        c.work_date, c.today_on, c.created_on, c.seconds, c.started_at, c.ended_at, c.narrative_length,
        m.day_seconds, m.day_count, m.duplicate_count, m.duplicate_rank,
        coalesce(v.overlap_count, 0) AS overlap_count,
        o.day_seconds_max AS policy_day_seconds_max,
        o.entry_seconds_max AS policy_entry_seconds_max,
        o.late_entry_days AS policy_late_entry_days,
        o.future_days_max AS policy_future_days_max,
        o.narrative_length_min AS policy_narrative_length_min,
        o.target_quantum_seconds AS policy_target_quantum_seconds,
        o.park_seconds AS policy_park_seconds,
        -- When the person works, and when the time tool heard of it.
        ex.expected_seconds, ex.scheduled_seconds, ex.leave_seconds AS leave_day_seconds, ex.is_free_day,
        c.week_on AS week_starts_on, c.week_on + 7 AS week_ends_on,
        wx.week_expected_seconds, wk.week_seconds, wk.week_count, wk.week_days, wk.week_lengths,
        coalesce(pm.may_work_over, false) AS may_work_over, coalesce(pm.may_work_free_day, false) AS may_work_free_day,
        lower(c.task_name) = lower(o.overtime_task_name) AS is_overtime,
        lower(c.task_name) = lower(o.travel_task_name) AS is_travel,
        rs.rest_seconds, iv.started_on, iv.elapsed_seconds, iv.wall_seconds,
        pd.starts_on AS period_starts_on, pd.ends_on AS period_ends_on, c.recorded_at > pd.cut_off_at AS is_after_cut_off,
        CASE WHEN o.week_lock_days > 0
             THEN c.created_at > (c.week_on + 7 + o.week_lock_days)
                  ::timestamp AT TIME ZONE coalesce(c.entity_zone, 'UTC')
                  + make_interval(secs => coalesce(o.week_lock_grace_seconds, 0))
             END AS is_after_lock,
        o.back_dating_days AS policy_back_dating_days,
        o.contemporaneous_days AS policy_contemporaneous_days,
        o.entry_increment_seconds AS policy_entry_increment_seconds,
        o.day_over_scheduled_percent AS policy_day_over_scheduled_percent,
        o.day_minimum_percent AS policy_day_minimum_percent,
        o.week_over_scheduled_percent AS policy_week_over_scheduled_percent,
        o.week_minimum_percent AS policy_week_minimum_percent,
        o.week_seconds_max AS policy_week_seconds_max,
        o.rest_seconds_min AS policy_rest_seconds_min,
        o.travel_entry_seconds_max AS policy_travel_entry_seconds_max,
        o.day_lines_max AS policy_day_lines_max,
        o.unusual_times AS policy_unusual_times,
        -- What content.sql found.
        coalesce(gl.guideline_count, 0) AS guideline_count, gl.narrative_length_min AS guideline_length_min,
        gl.narrative_length_max AS guideline_length_max, gl.narrative_words_min AS guideline_words_min,
        gl.narrative_tasks_max AS guideline_tasks_max, gl.wanted_language AS guideline_language,
        gl.same_text_days_max AS guideline_same_text_days_max,
        coalesce(gl.forbids_contact_data, false) AS forbids_contact_data,
        gl.person_day_minutes_max * 60 AS guideline_person_day_seconds_max,
        gl.people_day_max AS guideline_people_day_max, gl.bills_travel, gl.bills_administration, gl.bills_training,
        coalesce(gl.has_codes, false) AS has_client_codes, coalesce(gl.has_timekeepers, false) AS has_timekeepers,
        gl.word_pattern IS NOT NULL AS has_forbidden_words,
        coalesce(tk.timekeeper_count, 0) AS timekeeper_count, tk.timekeeper_category,
        kt.activity_code, kt.activity_kind, kt.is_allowable, coalesce(kt.has_task_codes, false) AS has_task_codes,
        coalesce(kt.is_closed_for_time, false) AS is_closed_for_time,
        coalesce(kt.has_charge_controls, false) AS has_charge_controls, kt.may_charge,
        coalesce(ca.is_code_allowed, false) AS is_code_allowed,
        coalesce(pt.has_qualifications, false) AS has_qualifications, pt.is_qualified,
        coalesce(pt.is_subcontractor, false) AS is_subcontractor, pt.has_subcontract,
        coalesce(wf.wall_count, 0) AS wall_count,
        coalesce(cf.missing_clearance_count, 0) AS missing_clearance_count,
        coalesce(af.is_authority_told, false) AS is_authority_told, coalesce(af.approver_count, 0) AS approver_count,
        af.is_approver_authorized, (c.approved_at AT TIME ZONE coalesce(c.entity_zone, 'UTC'))::date AS approved_on,
        coalesce(ef.changed_since_approval_count, 0) AS changed_since_approval_count,
        coalesce(ep.earlier_epoch_count, 0) AS earlier_epoch_count,
        coalesce(rf.reversed_count, 0) AS reversed_count, coalesce(rf.reversing_count, 0) AS reversing_count,
        ad.attended_seconds, cd.client_day_seconds, coalesce(mp.people_day_count, 0) AS people_day_count,
        coalesce(sx.same_text_days, 0) AS same_text_days, pf.planned_seconds, pf.planned_before_seconds,
        coalesce(tf.is_narrative_read, false) AS is_narrative_read, tf.narrative_words, tf.narrative_tasks,
        tf.narrative_language, tf.forbidden_word_count, tf.contact_data_count,
        c.entry_labor_category, c.assigned_category AS assigned_labor_category, c.zone, c.entity_zone, c.practice,
        o.practice_required AS policy_practice_required,
        CASE WHEN NOT un.is_changed THEN c.standing_hash
             WHEN c.is_posted_unchanged THEN c.posting_hash || int4send(db.billed_seconds::integer)
             WHEN ov.seconds IS NULL THEN c.posting_hash
             ELSE tieline.split_hash(c.posting_hash, ov.seconds, ov.line_id) END AS posting_hash,
        -- Said by whoever asks, where a rule of the firm could not be answered.
        false AS has_failed_rule,
        array_remove(ARRAY[
            'entry:' || c.entry_id,
            'person-day:' || c.person_key || ':' || c.work_date,
            'person-week:' || c.person_key || ':' || wx.week_on,
            CASE WHEN c.started_at IS NOT NULL THEN 'person-rest:' || c.person_key || ':' || c.work_date END,
            'person:' || c.connection_key || ':' || c.person_ref,
            'project:' || c.connection_key || ':' || c.project_ref,
            'contract:' || c.contract_id,
            CASE WHEN af.is_authority_told THEN 'approver:' || c.connection_key || ':' || c.approver_ref END,
            CASE WHEN c.cap_amount IS NOT NULL OR lk.is_of_contract THEN 'cap:' || c.contract_id END,
            CASE WHEN lk.is_of_client THEN 'client-cap:' || c.client_id END,
            CASE WHEN gl.people_day_max IS NOT NULL THEN 'matter-day:' || c.contract_id || ':' || c.work_date END,
            CASE WHEN gl.same_text_days_max IS NOT NULL
                 THEN 'text:' || c.person_key || ':' || encode(c.narrative_hash, 'hex') END,
            CASE WHEN pf.planned_seconds IS NOT NULL THEN 'planned:' || c.person_id || ':' || c.project_id END
        ], NULL) AS neighbor_keys
    FROM counted c
    LEFT JOIN setting o ON o.entity_code = coalesce(c.entity_code, '')
    LEFT JOIN member_fact m ON m.entry_id = c.entry_id
    LEFT JOIN expected ex ON ex.person_key = c.person_key AND ex.work_date = c.work_date
    LEFT JOIN week_expected wx ON wx.person_key = c.person_key AND wx.week_on = c.week_on
    LEFT JOIN week_fact wk ON wk.person_key = c.person_key AND wk.week_on = c.week_on
    LEFT JOIN permission_fact pm ON pm.person_key = c.person_key AND pm.on_date = c.work_date
    LEFT JOIN rest_fact rs ON rs.person_key = c.person_key AND rs.work_date = c.work_date AND c.started_at IS NOT NULL
    LEFT JOIN interval_fact iv ON iv.entry_id = c.entry_id
    LEFT JOIN period_fact pd ON pd.period_id = c.period_id
    LEFT JOIN day_billed db ON db.entry_id = c.entry_id
    LEFT JOIN overlap_fact v ON v.entry_id = c.entry_id
    LEFT JOIN cap_standing cs ON cs.contract_id = c.contract_id
    LEFT JOIN cap_queue q ON q.entry_id = c.entry_id
    LEFT JOIN split os ON os.entry_id = c.entry_id
    -- What is posted stays as it is, and split as it is, unless what the day is billed comes to something else.
    CROSS JOIN LATERAL (SELECT NOT c.is_posted_unchanged OR db.is_off IS TRUE AS is_changed) un
    CROSS JOIN LATERAL (
        SELECT CASE WHEN un.is_changed THEN os.capped_seconds
                    ELSE tieline.split_seconds(c.standing_hash) END AS seconds,
               CASE WHEN NOT un.is_changed THEN tieline.split_line(c.standing_hash)
                    WHEN os.capped_seconds IS NOT NULL THEN os.line_id END AS line_id,
               os.task_count AS task_count, os.step_seconds AS step_seconds, os.line_id AS asked_line_id
    ) ov
    LEFT JOIN agreed g ON g.entry_id = c.entry_id
    LEFT JOIN limit_left ll ON ll.entry_id = c.entry_id
    LEFT JOIN limit_key lk ON lk.contract_id = c.contract_id
    LEFT JOIN order_fact po ON po.contract_id = c.contract_id AND po.task_name = coalesce(c.task_name, '')
        AND po.on_date = c.on_date
    LEFT JOIN assigned_rate ar ON ar.contract_id = c.contract_id AND ar.task_name = coalesce(c.task_name, '')
        AND ar.assigned_category = c.assigned_category AND ar.on_date = c.on_date
        AND c.entry_labor_category <> c.assigned_category
    LEFT JOIN treatment_fact tt ON tt.entity_code = c.entity_code AND tt.client_id = c.client_id
        AND tt.tax_treatment IS NOT DISTINCT FROM c.tax_treatment AND tt.on_date = c.on_date
    LEFT JOIN account_fact ac ON ac.entity_code = c.entity_code AND ac.practice = coalesce(c.practice, '')
        AND ac.on_date = c.on_date
    LEFT JOIN transfer_told tp ON tp.home_entity_code = c.home_entity_code
    LEFT JOIN transfer_fact tr ON tr.home_entity_code = c.home_entity_code AND tr.entity_code = c.entity_code
        AND tr.labor_category = coalesce(c.labor_category, '') AND tr.on_date = c.on_date
    LEFT JOIN legal_entity he ON he.entity_code = c.home_entity_code
    LEFT JOIN legal_entity pe ON pe.entity_code = c.entity_code
    LEFT JOIN home_period hp ON hp.home_entity_code = c.home_entity_code AND hp.work_date = c.work_date
    LEFT JOIN period_fact sp ON sp.period_id = c.standing_period_id
    LEFT JOIN intercompany_agreement a ON a.home_entity_code = c.home_entity_code
        AND a.project_entity_code = c.entity_code AND daterange(a.starts_on, a.ends_on) @> c.on_date
        AND a.recorded_at <= %(known_at)s AND (a.superseded_at IS NULL OR a.superseded_at > %(known_at)s)
    LEFT JOIN erp_employee ee ON ee.person_id = c.person_id AND ee.entity_code = c.entity_code
        AND ee.erp_connection_key = c.erp_connection_key AND ee.on_date = c.on_date
    LEFT JOIN erp_task et ON et.contract_line_id = c.contract_line_id AND et.project_id = c.project_id
        AND et.erp_connection_key = c.erp_connection_key AND et.on_date = c.on_date
    LEFT JOIN client_told gl ON gl.client_id = c.client_id AND gl.on_date = c.on_date
    LEFT JOIN timekeeper_fact tk ON tk.client_id = c.client_id AND tk.person_id = c.person_id AND tk.on_date = c.on_date
    LEFT JOIN task_told kt ON kt.project_id = c.project_id AND kt.task_name = coalesce(c.task_name, '')
        AND kt.labor_category = coalesce(c.labor_category, '') AND kt.on_date = c.on_date
    LEFT JOIN code_fact ca ON ca.client_id = c.client_id AND ca.activity_code = kt.activity_code
        AND ca.on_date = c.on_date
    LEFT JOIN person_told pt ON pt.person_id = c.person_id AND pt.on_date = c.on_date
        AND pt.labor_category = coalesce(c.labor_category, '')
    LEFT JOIN wall_fact wf ON wf.client_id = c.client_id AND wf.person_id = c.person_id AND wf.on_date = c.on_date
    LEFT JOIN clearance_fact cf ON cf.project_id = c.project_id AND cf.person_id = c.person_id
        AND cf.on_date = c.on_date
    LEFT JOIN approval_fact af ON af.connection_key = c.connection_key AND af.approver_ref = c.approver_ref
        AND af.person_id = c.person_id AND af.project_id = c.project_id AND af.on_date = c.on_date
        AND af.approved_on = coalesce((c.approved_at AT TIME ZONE coalesce(c.entity_zone, 'UTC'))::date, c.on_date)
    LEFT JOIN edit_fact ef ON ef.entry_id = c.entry_id
    LEFT JOIN earlier_epoch ep ON ep.entry_id = c.entry_id
    LEFT JOIN reversal_fact rf ON rf.entry_id = c.entry_id
    LEFT JOIN attendance_fact ad ON ad.person_id = c.person_id AND ad.work_date = c.work_date
    LEFT JOIN client_day cd ON cd.person_key = c.person_key AND cd.work_date = c.work_date
        AND cd.client_id = c.client_id
    LEFT JOIN matter_people mp ON mp.contract_id = c.contract_id AND mp.work_date = c.work_date
    LEFT JOIN same_text sx ON sx.person_key = c.person_key AND sx.narrative_hash = c.narrative_hash
    LEFT JOIN planned_fact pf ON pf.entry_id = c.entry_id
    LEFT JOIN text_fact tf ON tf.entry_id = c.entry_id
    WHERE c.is_subject
)
