"""What a hand-over of master data goes by, as it may be loaded from a file."""

from __future__ import annotations

from collections.abc import Sequence

from tieline.register.reference_nouns import CLIENT, Empty, FileColumn, Kind, Noun

FIELD_OWNERS = Noun(
    name="field-owners",
    says="Which kind of system owns a field of a noun; everywhere, or in one country.",
    table="field_owner",
    key=("noun", "field", "region"),
    columns=(
        FileColumn(
            name="noun",
            kind=Kind.TEXT,
            says="Whose field it is.",
            words=("client", "project"),
        ),
        FileColumn(name="field", kind=Kind.TEXT, says="Such as city or vat_number."),
        FileColumn(
            name="region",
            kind=Kind.TEXT,
            says="Two letters of a country; empty: every one.",
            empty=Empty.EVERY,
        ),
        FileColumn(
            name="owner_kind",
            kind=Kind.TEXT,
            says="The kind of system that says what it is.",
            words=("crm", "erp", "hr", "time"),
        ),
    ),
    moves_money=True,
)

_CONTRACT_CODE = FileColumn(
    name="contract_code",
    kind=Kind.TEXT,
    says="The code that the deal gives its project; it need not be there yet.",
)
BILLING_SCHEDULES = Noun(
    name="billing-schedules",
    says="When a contract is billed and how much: milestones, fees of a month, a subscription.",
    table="billing_schedule",
    key=("contract_code", "item"),
    columns=(
        _CONTRACT_CODE,
        FileColumn(name="item", kind=Kind.TEXT, says="What is billed, such as Milestone 2."),
        FileColumn(
            name="kind", kind=Kind.TEXT, says="What it is.", words=("milestone", "fee", "advance")
        ),
        FileColumn(name="due_on", kind=Kind.DAY, says="The day from which it may be billed."),
        FileColumn(name="amount", kind=Kind.NUMBER, says="How much.", minimum=0),
        FileColumn(name="currency", kind=Kind.CURRENCY, says="In which currency."),
        FileColumn(
            name="confirmed_on",
            kind=Kind.DAY,
            says="The day on which the client confirmed a milestone; empty: it did not yet.",
            empty=Empty.UNKNOWN,
        ),
        FileColumn(
            name="covers_from",
            kind=Kind.DAY,
            says="The first day that it is for.",
            empty=Empty.UNKNOWN,
        ),
        FileColumn(
            name="covers_until",
            kind=Kind.DAY,
            says="The day after the last that it is for.",
            empty=Empty.UNKNOWN,
        ),
        FileColumn(
            name="is_prorated",
            kind=Kind.YES_NO,
            says="Whether it is shortened to the days of the contract that it is for.",
            empty=Empty.UNKNOWN,
        ),
        FileColumn(
            name="included_hours",
            kind=Kind.NUMBER,
            says="Hours of its days that are paid with it; those above are billed at their rates.",
            empty=Empty.UNKNOWN,
            minimum=0,
        ),
    ),
    moves_money=True,
    together=(("covers_from", "covers_until"),),
)
BILLING_SPLITS = Noun(
    name="billing-splits",
    says="Among which clients a contract is split; exactly one takes what rounding leaves.",
    table="billing_split",
    key=("contract_code", "client_id"),
    columns=(
        _CONTRACT_CODE,
        CLIENT,
        FileColumn(
            name="percent",
            kind=Kind.NUMBER,
            says="The client's share, such as 33.34.",
            is_above_zero=True,
            maximum=100,
        ),
        FileColumn(
            name="takes_rounding", kind=Kind.YES_NO, says="Whether it takes what rounding leaves."
        ),
    ),
    moves_money=True,
)
CLIENT_HOLDS = Noun(
    name="client-holds",
    says="For whom nothing is begun, and why.",
    table="client_hold",
    key=("client_id",),
    columns=(
        CLIENT,
        FileColumn(name="reason", kind=Kind.TEXT, says="Such as credit, or do not do business."),
    ),
    moves_money=True,
)

PROJECT_TEMPLATES = Noun(
    name="project-templates",
    says="Tasks that projects of a kind have beside what was sold, by phase, with a budget of hours.",
    table="project_template",
    key=("template_code", "task_name"),
    columns=(
        FileColumn(name="template", kind=Kind.TEXT, says="Its name.", stored_as="template_code"),
        FileColumn(
            name="phase",
            kind=Kind.TEXT,
            says="In which phase the task is; empty: in none.",
            empty=Empty.EVERY,
        ),
        FileColumn(
            name="task",
            kind=Kind.TEXT,
            says="What people book on; one that the deal sells by this name is that one.",
            stored_as="task_name",
        ),
        FileColumn(
            name="budget_hours",
            kind=Kind.NUMBER,
            says="How many hours it may take; empty: nobody says.",
            empty=Empty.UNKNOWN,
            minimum=0,
        ),
    ),
    moves_money=True,
)
TEMPLATE_CHOICES = Noun(
    name="template-choices",
    says="By which template a deal's project is made; the row that says most of a deal counts.",
    table="template_choice",
    key=("entity_code", "practice", "billing_method"),
    columns=(
        FileColumn(
            name="entity",
            kind=Kind.ENTITY,
            says="In which legal entity; empty: in every one.",
            stored_as="entity_code",
            empty=Empty.EVERY,
        ),
        FileColumn(
            name="practice",
            kind=Kind.TEXT,
            says="Of which practice; empty: of every one.",
            empty=Empty.EVERY,
        ),
        FileColumn(
            name="billing_method",
            kind=Kind.TEXT,
            says="By which method it is billed; empty: by any.",
            empty=Empty.EVERY,
        ),
        FileColumn(
            name="template", kind=Kind.TEXT, says="The template's name.", stored_as="template_code"
        ),
    ),
    moves_money=True,
)

HANDOVER_NOUNS: Sequence[Noun] = (
    FIELD_OWNERS,
    BILLING_SCHEDULES,
    BILLING_SPLITS,
    CLIENT_HOLDS,
    PROJECT_TEMPLATES,
    TEMPLATE_CHOICES,
)
