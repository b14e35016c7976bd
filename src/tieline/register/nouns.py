"""Every noun that a file may hold."""

from __future__ import annotations

from collections.abc import Mapping

from tieline.register.code_nouns import CODE_NOUNS
from tieline.register.guideline_nouns import GUIDELINE_NOUNS
from tieline.register.handover_nouns import HANDOVER_NOUNS
from tieline.register.reference_nouns import NOUNS as TERMS
from tieline.register.reference_nouns import Noun

NOUNS: Mapping[str, Noun] = {
    **TERMS,
    **{noun.name: noun for noun in (*GUIDELINE_NOUNS, *HANDOVER_NOUNS, *CODE_NOUNS)},
}
