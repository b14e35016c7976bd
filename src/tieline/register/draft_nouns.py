"""What may be drafted to see what it would do: everything that may be loaded, and what else hours are judged by.

Links, assignments, contract rates and working time have owners that tell them: they are drafted here, never loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieline.register.guideline_nouns import agreed_noun
from tieline.register.nouns import NOUNS
from tieline.register.reference_nouns import (
    CONTRACT,
    MARKUP,
    PERSON,
    PROJECT,
    RATE,
    TASK,
    FileColumn,
    Kind,
    Noun,
)

DRAFTED_PERIOD = "drafted_period"
"""The copy of the fiscal periods, which stand on no second time axis themselves."""
_CONNECTION = FileColumn(
    name="connection", kind=Kind.TEXT, says="The connection's key.", stored_as="connection_key"
)
_REF = FileColumn(name="source_ref", kind=Kind.TEXT, says="As the source calls it.")
_CATEGORY = FileColumn(name="labor_category", kind=Kind.TEXT, says="As what.")


def _links(name: str, says: str, *, noun: str, ours: FileColumn) -> Noun:
    return agreed_noun(
        name,
        says,
        table="crosswalk",
        key=("connection_key", "source_ref"),
        columns=(_CONNECTION, _REF, ours),
        only={"noun": noun, "scope": ""},
    )


DRAFT_ONLY: Sequence[Noun] = (
    agreed_noun(
        "contract-rates",
        "What an hour costs by the lines of a contract.",
        table="contract_line",
        key=("contract_id", "task_name", "labor_category"),
        columns=(CONTRACT, TASK, *RATE),
    ),
    agreed_noun(
        "contract-markups",
        "By how much the lines of a cost-plus contract are more than what people cost.",
        table="contract_line",
        key=("contract_id", "task_name", "labor_category"),
        columns=(CONTRACT, TASK, RATE[0], MARKUP),
    ),
    agreed_noun(
        "cost-rates",
        "What an hour of somebody costs the company that employs them, in its currency.",
        table="employment",
        key=("person_id", "entity_code"),
        columns=(
            PERSON,
            FileColumn(
                name="entity", kind=Kind.ENTITY, says="Which company.", stored_as="entity_code"
            ),
            FileColumn(name="cost_rate", kind=Kind.NUMBER, says="What one hour costs.", minimum=0),
        ),
    ),
    _links(
        "person-links",
        "Which person of ours somebody is in a source.",
        noun="person",
        ours=FileColumn(
            name="person", kind=Kind.PERSON, says="E-mail or employee code.", stored_as="our_id"
        ),
    ),
    _links(
        "project-links",
        "Which project of ours a source's project is.",
        noun="project",
        ours=FileColumn(
            name="project", kind=Kind.PROJECT, says="The project's code.", stored_as="our_id"
        ),
    ),
    _links(
        "task-links",
        "Which task of ours a source's task is; PROJECT/TASK where projects of the source share tasks.",
        noun="task",
        ours=FileColumn(
            name="task",
            kind=Kind.TASK,
            says="The project's code, a slash and the task's name.",
            stored_as="our_id",
        ),
    ),
    agreed_noun(
        "assignments",
        "Who is on which project, and as what.",
        table="assignment",
        key=("person_id", "project_id"),
        columns=(PERSON, PROJECT, _CATEGORY),
    ),
    agreed_noun(
        "week-patterns",
        "When somebody works.",
        table="work_pattern",
        key=("person_id",),
        columns=(
            PERSON,
            FileColumn(
                name="week",
                kind=Kind.WEEK,
                says="The hours of each day from Monday on: 8 8 8 8 6 0 0.",
                stored_as="weekday_seconds",
            ),
        ),
    ),
    agreed_noun(
        "work-shares",
        "Which share of the pattern somebody is employed for.",
        table="employment_share",
        key=("person_id",),
        columns=(
            PERSON,
            FileColumn(name="share", kind=Kind.NUMBER, says="Such as 0.8.", minimum=0),
        ),
    ),
    agreed_noun(
        "work-places",
        "Where somebody works: whose public holidays are free.",
        table="work_place",
        key=("person_id",),
        columns=(PERSON, FileColumn(name="place", kind=Kind.TEXT, says="Such as DE or DE-BY.")),
    ),
    agreed_noun(
        "company-holidays",
        "Days that a company gives its people.",
        table="company_holiday",
        key=("entity_code",),
        columns=(
            FileColumn(
                name="entity", kind=Kind.ENTITY, says="Which company.", stored_as="entity_code"
            ),
            FileColumn(
                name="free_share",
                kind=Kind.NUMBER,
                says="The part of the day that is free: 1 or less.",
                minimum=0,
            ),
        ),
    ),
    agreed_noun(
        "leave",
        "When somebody is away.",
        table="leave",
        key=("person_id",),
        columns=(PERSON, FileColumn(name="kind", kind=Kind.TEXT, says="Such as leave.")),
    ),
    agreed_noun(
        "fiscal-periods",
        "When a company's fiscal periods begin, whether they are open, and when they are cut off.",
        table=DRAFTED_PERIOD,
        key=("entity_code",),
        columns=(
            FileColumn(name="entity", kind=Kind.ENTITY, says="Whose.", stored_as="entity_code"),
            FileColumn(
                name="period", kind=Kind.TEXT, says="Such as 2026-10.", stored_as="period_code"
            ),
            FileColumn(
                name="state",
                kind=Kind.TEXT,
                says="open or closed.",
                words=("open", "closed"),
            ),
            FileColumn(
                name="cut_off_on",
                kind=Kind.DAY,
                says="The last day of billing it; it is over at midnight where the company is.",
            ),
        ),
    ),
)
DRAFT_NOUNS: Mapping[str, Noun] = {**NOUNS, **{noun.name: noun for noun in DRAFT_ONLY}}
