-- When a contract is billed and how much, by the code that its deal has: milestones, fees of a month, a subscription.
CREATE TABLE billing_schedule (
    billing_schedule_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_code text NOT NULL,
    item text NOT NULL CHECK (item <> ''),
    kind text NOT NULL CHECK (kind IN ('milestone', 'fee', 'advance')),
    due_on date NOT NULL,
    amount numeric NOT NULL CHECK (amount >= 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(contract_code || '|' || item, contract_code || '|' || item, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Among which clients a contract is split; one of them takes what rounding leaves.
CREATE TABLE billing_split (
    billing_split_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    contract_code text NOT NULL,
    client_id uuid NOT NULL REFERENCES client,
    percent numeric NOT NULL CHECK (percent > 0 AND percent <= 100),
    takes_rounding boolean NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(contract_code || '|' || client_id::text, contract_code || '|' || client_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- For whom nothing is begun, and why: on credit hold, not to do business with.
CREATE TABLE client_hold (
    client_hold_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id uuid NOT NULL REFERENCES client,
    reason text NOT NULL CHECK (reason <> ''),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(client_id::text, client_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);

-- A project whose deal was lost afterwards is closed: who is booked on it is released, nothing new is accepted.
ALTER TABLE provisioning_plan DROP CONSTRAINT provisioning_plan_state_check;
ALTER TABLE provisioning_plan ADD CONSTRAINT provisioning_plan_state_check CHECK (state IN
    ('blocked', 'ready', 'running', 'active', 'compensating', 'compensated', 'stuck', 'closing', 'closed'));
