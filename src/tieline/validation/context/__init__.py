"""Everything a rule may look at, one row per subject, as known at one instant.

Each file holds named steps of one statement; they read ``judging_subject`` and one another, in this
order. Every join yields at most one row: by a constraint of the table, or as an aggregate that brings
its count, which an "_ambiguous" rule reads. The last file names the columns that rules may use.

A step that has no row while a table is empty is named in ``needs.toml`` and left out until somebody fills
the table; ``shapes.toml`` has its columns. A step that is not named there always runs.
"""

from __future__ import annotations

from functools import cache, lru_cache

from tieline.runtime.sql import load
from tieline.validation.context.untold import leave_out, untold

__all__ = ["context_answer", "context_steps", "untold"]

PARTS = (
    "links",
    "placed",
    "staff",
    "terms",
    "money",
    "neighbors",
    "calendar",
    "billed",
    "caps",
    "limits",
    "over_cap",
    "targets",
    "changes",
    "content",
)
_ANSWER = "answer"


# Few sets of tables are empty at one time; a firm that loads its data goes through some.
@lru_cache(maxsize=32)
def context_steps(*, empty: frozenset[str] = frozenset()) -> str:
    """Return the steps after ``judging_subject``, without those that have no row while these tables have none."""
    steps = ",\n".join(load(__package__, part).strip() for part in (*PARTS, _ANSWER))
    return leave_out(steps, empty=empty) if empty else steps


@cache
def context_answer() -> str:
    """Return the step that names the columns of the context."""
    return str(load(__package__, _ANSWER))
