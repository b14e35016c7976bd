"""What a hand-over of master data goes by, as it may be loaded from a file."""

from __future__ import annotations

from collections.abc import Sequence

from tieline.register.reference_nouns import Empty, FileColumn, Kind, Noun

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

HANDOVER_NOUNS: Sequence[Noun] = (FIELD_OWNERS,)
