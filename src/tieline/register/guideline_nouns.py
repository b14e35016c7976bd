"""What clients, projects and people are held to, as it may be loaded from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieline.register.reference_nouns import (
    CLIENT,
    PERSON,
    PROJECT,
    Empty,
    FileColumn,
    Kind,
    Noun,
)

_TASK = FileColumn(name="task_name", kind=Kind.TEXT, says="The name of the task.")
_ANY_TASK = FileColumn(
    name="task_name", kind=Kind.TEXT, says="The task; empty: every task.", empty=Empty.EVERY
)
_ACTIVITY_CODE = FileColumn(name="activity_code", kind=Kind.TEXT, says="Such as L110 or A103.")
_CLEARANCE = FileColumn(name="clearance", kind=Kind.TEXT, says="Its name.")
_REASON = FileColumn(name="reason", kind=Kind.TEXT, says="Why.")


def _at_most(name: str, says: str) -> FileColumn:
    return FileColumn(name=name, kind=Kind.WHOLE, says=says, empty=Empty.UNKNOWN, minimum=0)


def _yes_or_no(name: str, says: str) -> FileColumn:
    return FileColumn(name=name, kind=Kind.YES_NO, says=says, empty=Empty.UNKNOWN)


def agreed_noun(
    name: str,
    says: str,
    *,
    table: str,
    key: Sequence[str],
    columns: Sequence[FileColumn],
    only: Mapping[str, str] | None = None,
) -> Noun:
    """Return a noun that may let an hour through that was held before: two people agree to it."""
    return Noun(
        name=name,
        says=says,
        table=table,
        key=tuple(key),
        columns=tuple(columns),
        moves_money=True,
        only=only or {},
    )


GUIDELINE_NOUNS: Sequence[Noun] = (
    agreed_noun(
        "client-guidelines",
        "What a client asks of time that it pays for; an empty cell says nothing of it.",
        table="client_guideline",
        key=("client_id",),
        columns=(
            CLIENT,
            _at_most("narrative_length_min", "The fewest characters of a text."),
            _at_most("narrative_length_max", "The most characters of a text."),
            _at_most("narrative_words_min", "The fewest words of a text."),
            _at_most("narrative_tasks_max", "The most tasks that one text may list."),
            FileColumn(
                name="narrative_language",
                kind=Kind.TEXT,
                says="The language of texts.",
                empty=Empty.UNKNOWN,
                words=("en", "de", "fr", "es", "it", "nl"),
            ),
            _at_most("same_text_days_max", "On how many days the very same text may stand."),
            _yes_or_no("forbids_contact_data", "Whether texts hold no addresses or passwords."),
            _at_most("person_day_minutes_max", "The most minutes of one person on one day."),
            _at_most("people_day_max", "The most people on one matter on one day."),
            _yes_or_no("bills_travel", "Whether travel is paid."),
            _yes_or_no("bills_administration", "Whether administration is paid."),
            _yes_or_no("bills_training", "Whether training is paid."),
            _at_most("bill_days_max", "After how many days no bill for time is taken."),
            _at_most("bill_days_after_end_max", "The same, after the contract has ended."),
        ),
    ),
    agreed_noun(
        "client-codes",
        "The activity codes that a client pays for; without any row it pays for all.",
        table="client_code",
        key=("client_id", "activity_code"),
        columns=(
            CLIENT,
            _ACTIVITY_CODE,
        ),
    ),
    agreed_noun(
        "forbidden-words",
        "Words that a client does not accept in a text.",
        table="client_word",
        key=("client_id", "word"),
        columns=(CLIENT, FileColumn(name="word", kind=Kind.TEXT, says="A word, or several.")),
    ),
    agreed_noun(
        "timekeepers",
        "Whom a client approved; without any row it asks for no approval.",
        table="timekeeper",
        key=("client_id", "person_id"),
        columns=(
            CLIENT,
            PERSON,
            FileColumn(
                name="labor_category",
                kind=Kind.TEXT,
                says="As what; empty: as anything.",
                empty=Empty.UNKNOWN,
            ),
        ),
    ),
    agreed_noun(
        "task-codes",
        "What kind of work a task is, in the codes of clients and of cost accounting.",
        table="task_code",
        key=("project_id", "task_name"),
        columns=(
            PROJECT,
            _TASK,
            _ACTIVITY_CODE,
            FileColumn(
                name="activity_kind",
                kind=Kind.TEXT,
                says="Which kind of work.",
                words=("work", "travel", "administration", "training"),
            ),
            FileColumn(name="is_allowable", kind=Kind.YES_NO, says="Whether it is allowable cost."),
        ),
    ),
    agreed_noun(
        "closed-for-time",
        "Projects and tasks on which nobody books while everything else goes on.",
        table="closed_for_time",
        key=("project_id", "task_name"),
        columns=(PROJECT, _ANY_TASK, _REASON),
    ),
    agreed_noun(
        "charge-controls",
        "Who may charge what and when; the narrowest decides, and what none names is open only where all forbid.",
        table="charge_control",
        key=("project_id", "task_name", "labor_category"),
        columns=(
            PROJECT,
            _ANY_TASK,
            FileColumn(
                name="labor_category",
                kind=Kind.TEXT,
                says="Who; empty: everybody.",
                empty=Empty.EVERY,
            ),
            FileColumn(name="may_charge", kind=Kind.YES_NO, says="Whether they may."),
        ),
    ),
    agreed_noun(
        "approval-authority",
        "Who may approve hours on projects of a legal entity, beside approvers and deputies of assignments.",
        table="approval_authority",
        key=("person_id", "entity_code"),
        columns=(
            PERSON,
            FileColumn(
                name="entity", kind=Kind.ENTITY, says="The legal entity.", stored_as="entity_code"
            ),
        ),
    ),
    agreed_noun(
        "approval-delegations",
        "Who approves for whom.",
        table="approval_delegation",
        key=("from_person_id", "to_person_id"),
        columns=(
            FileColumn(
                name="from_person",
                kind=Kind.PERSON,
                says="Whose authority.",
                stored_as="from_person_id",
            ),
            FileColumn(
                name="to_person", kind=Kind.PERSON, says="Who uses it.", stored_as="to_person_id"
            ),
        ),
    ),
    agreed_noun(
        "required-clearances",
        "What a person must hold to work on a project.",
        table="required_clearance",
        key=("project_id", "clearance"),
        columns=(PROJECT, _CLEARANCE),
    ),
    agreed_noun(
        "held-clearances",
        "What a person holds.",
        table="held_clearance",
        key=("person_id", "clearance"),
        columns=(PERSON, _CLEARANCE),
    ),
    agreed_noun(
        "ethical-walls",
        "Who must not work for a client.",
        table="ethical_wall",
        key=("client_id", "person_id"),
        columns=(CLIENT, PERSON, _REASON),
    ),
    agreed_noun(
        "qualifications",
        "As what a person may work; who has no row may work as anything.",
        table="qualification",
        key=("person_id", "labor_category"),
        columns=(PERSON, FileColumn(name="labor_category", kind=Kind.TEXT, says="As what.")),
    ),
    agreed_noun(
        "subcontracts",
        "The order under which somebody works who is not employed.",
        table="subcontract",
        key=("person_id",),
        columns=(
            PERSON,
            FileColumn(name="subcontract_code", kind=Kind.TEXT, says="The number of the order."),
        ),
    ),
    agreed_noun(
        "attendance",
        "How long a person was at work; each day is a row of its own, and only its first day counts.",
        table="attendance",
        key=("person_id",),
        columns=(
            PERSON,
            FileColumn(
                name="attended_minutes", kind=Kind.WHOLE, says="How many minutes.", minimum=0
            ),
        ),
    ),
)
