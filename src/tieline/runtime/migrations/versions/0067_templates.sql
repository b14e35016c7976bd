-- What the projects of a kind have beside what was sold: tasks by phase, with a budget of hours.
CREATE TABLE project_template (
    project_template_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    template_code text NOT NULL CHECK (template_code <> ''),
    task_name     text NOT NULL CHECK (task_name <> ''),
    phase         text NOT NULL,
    budget_hours  numeric CHECK (budget_hours >= 0),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(template_code || '|' || task_name, template_code || '|' || task_name, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
-- Which template a deal's project is made by; '' is every legal entity, practice or method.
CREATE TABLE template_choice (
    template_choice_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entity_code   text NOT NULL,
    practice      text NOT NULL,
    billing_method text NOT NULL,
    template_code text NOT NULL CHECK (template_code <> ''),
    starts_on     date NOT NULL,
    ends_on       date,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz,
    load_id       uuid NOT NULL REFERENCES reference_load,
    line_number   integer NOT NULL,
    EXCLUDE USING gist (textrange(entity_code || '|' || practice || '|' || billing_method,
                                  entity_code || '|' || practice || '|' || billing_method, '[]') WITH &&,
                        daterange(starts_on, ends_on) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);
GRANT SELECT ON project_template, template_choice TO tieline_web;
