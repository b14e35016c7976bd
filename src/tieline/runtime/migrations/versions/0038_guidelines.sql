-- What clients, projects and people are held to beside contract and assignment. Each rule that reads one of these
-- decides nothing where the firm has told nothing; what one row of a merged person or client says, all of it says.

-- What a client pays for, as its guidelines say; unknown where they say nothing of it.
CREATE TABLE client_guideline (
    client_guideline_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id     uuid NOT NULL REFERENCES client,
    narrative_length_min integer,
    narrative_length_max integer,
    narrative_words_min integer,
    narrative_tasks_max integer,
    narrative_language text,
    same_text_days_max integer,
    forbids_contact_data boolean,
    person_day_minutes_max integer,
    people_day_max integer,
    bills_travel boolean,
    bills_administration boolean,
    bills_training boolean,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(client_id::text, client_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- The activity codes that a client pays for; without any it pays for all.
CREATE TABLE client_code (
    client_code_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id     uuid NOT NULL REFERENCES client,
    activity_code text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(client_id::text || '|' || activity_code, client_id::text || '|' || activity_code, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Words that a client does not want to read.
CREATE TABLE client_word (
    client_word_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id     uuid NOT NULL REFERENCES client,
    word          text NOT NULL CHECK (word <> ''),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(client_id::text || '|' || word, client_id::text || '|' || word, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Who may work for a client that approves each person, and as what.
CREATE TABLE timekeeper (
    timekeeper_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id     uuid NOT NULL REFERENCES client,
    person_id     uuid NOT NULL REFERENCES person,
    labor_category text,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(client_id::text || person_id::text, client_id::text || person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- What kind of work a task is, in the codes of clients and of cost accounting.
CREATE TABLE task_code (
    task_code_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id    uuid NOT NULL REFERENCES project,
    task_name     text NOT NULL,
    activity_code text NOT NULL,
    activity_kind text NOT NULL CHECK (activity_kind IN ('work', 'travel', 'administration', 'training')),
    is_allowable  boolean NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(project_id::text || '|' || task_name, project_id::text || '|' || task_name, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Closed for time while everything else goes on; task_name '' is the whole project.
CREATE TABLE closed_for_time (
    closed_for_time_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id    uuid NOT NULL REFERENCES project,
    task_name     text NOT NULL,
    reason        text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(project_id::text || '|' || task_name, project_id::text || '|' || task_name, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Who may charge what, and when; '' is every task, every labor category. The narrowest decides.
CREATE TABLE charge_control (
    charge_control_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id    uuid NOT NULL REFERENCES project,
    task_name     text NOT NULL,
    labor_category text NOT NULL,
    may_charge    boolean NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(project_id::text || '|' || task_name || '|' || labor_category, project_id::text || '|' || task_name || '|' || labor_category, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Whose hours somebody may approve: those on projects of a legal entity.
CREATE TABLE approval_authority (
    approval_authority_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    entity_code   text NOT NULL REFERENCES legal_entity,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(person_id::text || '|' || entity_code, person_id::text || '|' || entity_code, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Who approves for whom.
CREATE TABLE approval_delegation (
    approval_delegation_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    from_person_id uuid NOT NULL REFERENCES person,
    to_person_id  uuid NOT NULL REFERENCES person CHECK (to_person_id <> from_person_id),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(from_person_id::text || to_person_id::text, from_person_id::text || to_person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- What a person must hold to work on a project.
CREATE TABLE required_clearance (
    required_clearance_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id    uuid NOT NULL REFERENCES project,
    clearance     text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(project_id::text || '|' || clearance, project_id::text || '|' || clearance, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- What a person holds.
CREATE TABLE held_clearance (
    held_clearance_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    clearance     text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(person_id::text || '|' || clearance, person_id::text || '|' || clearance, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Who must not work for a client.
CREATE TABLE ethical_wall (
    ethical_wall_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id     uuid NOT NULL REFERENCES client,
    person_id     uuid NOT NULL REFERENCES person,
    reason        text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(client_id::text || person_id::text, client_id::text || person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- As what a person may work; who has none told may work as anything.
CREATE TABLE qualification (
    qualification_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    labor_category text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(person_id::text || '|' || labor_category, person_id::text || '|' || labor_category, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- The order under which somebody works who is not employed.
CREATE TABLE subcontract (
    subcontract_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    subcontract_code text NOT NULL,
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(person_id::text, person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- How long a person was at work on the day starts_on, as payroll or the door says; later days are rows of their own.
CREATE TABLE attendance (
    attendance_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    person_id     uuid NOT NULL REFERENCES person,
    attended_minutes integer NOT NULL CHECK (attended_minutes >= 0),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(person_id::text, person_id::text, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
CREATE INDEX timekeeper_client ON timekeeper (client_id);
CREATE INDEX task_code_project ON task_code (project_id);
CREATE INDEX closed_for_time_project ON closed_for_time (project_id);
CREATE INDEX charge_control_project ON charge_control (project_id);
CREATE INDEX held_clearance_person ON held_clearance (person_id);
CREATE INDEX required_clearance_project ON required_clearance (project_id);
CREATE INDEX ethical_wall_person ON ethical_wall (person_id);
CREATE INDEX qualification_person ON qualification (person_id);
CREATE INDEX subcontract_person ON subcontract (person_id);
CREATE INDEX attendance_day ON attendance (person_id, starts_on);

-- Hours of one matter and day are looked up together.
DROP INDEX time_entry_version_project;
CREATE INDEX time_entry_version_project ON time_entry_version (project_ref, work_date) WHERE is_newest;

-- Who may approve is asked of every hour.
CREATE FUNCTION everything_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = tieline, pg_temp AS $$
BEGIN
    PERFORM mark_keys(ARRAY['release'], TG_TABLE_NAME || '.changed',
                      (SELECT max(coalesce(c.superseded_at, c.recorded_at)) FROM changed c));
    RETURN NULL;
END $$;
