"""What other systems call our codes, as it may be loaded from a file.

A kind of code that a connection has no rows of is told and sent as it stands, or, where an ERP has a word of its
own for it, left to the ERP. Once it has any, every code of that kind needs one: a code without a row is unknown,
and is never passed on.
"""

from __future__ import annotations

from collections.abc import Sequence

from tieline.register.reference_nouns import Empty, FileColumn, Kind, Noun

STAGE, PRACTICE, BILLING_METHOD = "stage", "practice", "billing_method"
TAX_TREATMENT, CURRENCY, LABOR_CATEGORY = "tax_treatment", "currency", "labor_category"
COST_CENTER, BILLING_CODE, UNIT = "cost_center", "billing_code", "unit"
INBOUND_KINDS = (
    STAGE, PRACTICE, BILLING_METHOD, TAX_TREATMENT, CURRENCY, LABOR_CATEGORY, COST_CENTER, BILLING_CODE,
)  # fmt: skip
OUTBOUND_KINDS = (
    LABOR_CATEGORY, COST_CENTER, PRACTICE, BILLING_CODE, CURRENCY, TAX_TREATMENT, UNIT,
)  # fmt: skip
OPEN, WON, LOST = "open", "won", "lost"
# What a line of a contract counts: hours, or the piece that is billed by a schedule.
HOUR, ITEM = "hour", "item"
_OURS = {
    STAGE: (OPEN, WON, LOST),
    BILLING_METHOD: (
        "time_and_materials", "capped_time_and_materials", "fixed_fee", "milestone", "retainer",
        "subscription", "cost_plus", "prepaid",
    ),
    TAX_TREATMENT: ("standard", "reverse_charge", "exempt", "zero_rated", "outside_scope"),
    UNIT: (HOUR, ITEM),
}  # fmt: skip

_ENTITY = FileColumn(
    name="entity",
    kind=Kind.ENTITY,
    says="In which legal entity; empty: in every one that has no row of its own.",
    stored_as="entity_code",
    empty=Empty.EVERY,
)
_THEIRS = FileColumn(name="their_code", kind=Kind.TEXT, says="As the other system calls it.")
_OURS_COLUMN = FileColumn(
    name="our_code",
    kind=Kind.TEXT,
    says="As we call it; a stage is open, won or lost, a unit hour or item.",
)

INBOUND_CODES = Noun(
    name="inbound-codes",
    says="What we call a code of a CRM where a deal comes in.",
    table="inbound_code",
    key=("connection_key", "kind", "entity_code", "their_code"),
    columns=(
        FileColumn(
            name="connection",
            kind=Kind.CRM,
            says="Whose code it is: the key of a connection to a CRM.",
            stored_as="connection_key",
        ),
        FileColumn(name="kind", kind=Kind.TEXT, says="What it names.", words=INBOUND_KINDS),
        _ENTITY,
        _THEIRS,
        _OURS_COLUMN,
    ),
    moves_money=True,
    words_by=("kind", "our_code", _OURS),
)
OUTBOUND_CODES = Noun(
    name="outbound-codes",
    says="What an ERP calls a code of ours where a contract goes out.",
    table="outbound_code",
    key=("connection_key", "kind", "entity_code", "our_code"),
    columns=(
        FileColumn(
            name="connection",
            kind=Kind.ERP,
            says="Who calls it so: the key of a connection to an ERP.",
            stored_as="connection_key",
        ),
        FileColumn(name="kind", kind=Kind.TEXT, says="What it names.", words=OUTBOUND_KINDS),
        _ENTITY,
        _OURS_COLUMN,
        _THEIRS,
    ),
    moves_money=True,
    words_by=("kind", "our_code", _OURS),
)
CODE_NOUNS: Sequence[Noun] = (INBOUND_CODES, OUTBOUND_CODES)
