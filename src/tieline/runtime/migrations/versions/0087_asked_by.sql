-- What a few deals are planned by is looked up, however many there are: the deals of a code or client, who is staffed on
-- a project and where else, the projects that a system has under a code.
CREATE INDEX source_version_project_codes ON source_version ((data ->> 'project_code'))
    WHERE is_newest AND noun IN ('Opportunity', 'StaffingFact');
CREATE INDEX source_version_client_refs ON source_version ((data ->> 'client_ref'))
    WHERE is_newest AND noun = 'Opportunity';
CREATE INDEX source_version_emails ON source_version ((lower(btrim(data ->> 'person_email'))))
    WHERE is_newest AND noun = 'StaffingFact';
CREATE INDEX source_version_codes ON source_version ((data ->> 'code')) WHERE is_newest AND noun = 'WorkItem';
-- Which plans are under way is asked by each step that makes a client.
CREATE INDEX provisioning_plan_under_way ON provisioning_plan (state) WHERE state IN ('running', 'compensating');
