-- Keep what was computed; a contract and period that is no longer to be billed leaves the table.
WITH found AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
        contract_id uuid, period_id uuid, entity_code text, state text, deadline_at timestamptz, currency text,
        seconds bigint, ledger_amount numeric, expected_amount numeric, rounding_amount numeric,
        waiting_seconds bigint, waiting_amount numeric, held_seconds bigint, held_amount numeric,
        carried_seconds bigint, carried_amount numeric, checks_passed integer, blockers jsonb, not_checked jsonb,
        shares jsonb)
), gone AS (
    DELETE FROM readiness r
    WHERE (%(contract_ids)s::uuid[] IS NULL OR r.contract_id = ANY (%(contract_ids)s::uuid[]))
      AND NOT EXISTS (SELECT FROM found f WHERE (f.contract_id, f.period_id) = (r.contract_id, r.period_id))
)
INSERT INTO readiness (contract_id, period_id, entity_code, state, computed_at, deadline_at, currency, seconds,
    ledger_amount, expected_amount, rounding_amount, waiting_seconds, waiting_amount, held_seconds, held_amount,
    carried_seconds, carried_amount, checks_passed, blockers, not_checked, shares)
SELECT contract_id, period_id, entity_code, state, %(now)s, deadline_at, currency, seconds, ledger_amount,
       expected_amount, rounding_amount, waiting_seconds, waiting_amount, held_seconds, held_amount,
       carried_seconds, carried_amount, checks_passed, blockers, not_checked, shares
FROM found
ON CONFLICT (contract_id, period_id) DO UPDATE SET state = excluded.state, computed_at = excluded.computed_at,
    deadline_at = excluded.deadline_at, currency = excluded.currency, seconds = excluded.seconds,
    ledger_amount = excluded.ledger_amount, expected_amount = excluded.expected_amount,
    rounding_amount = excluded.rounding_amount, waiting_seconds = excluded.waiting_seconds,
    waiting_amount = excluded.waiting_amount, held_seconds = excluded.held_seconds,
    held_amount = excluded.held_amount, carried_seconds = excluded.carried_seconds,
    carried_amount = excluded.carried_amount, checks_passed = excluded.checks_passed,
    blockers = excluded.blockers, not_checked = excluded.not_checked, shares = excluded.shares
