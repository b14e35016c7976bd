"""Everything a rule may look at, one row per subject, as known at one instant.

Each file holds named steps of one statement; they read ``judging_subject`` and one another, in this
order. Every join yields at most one row: by a constraint of the table, or as an aggregate that brings
its count, which an "_ambiguous" rule reads. The last file names the columns that rules may use.
"""

from __future__ import annotations

from functools import cache

from tieline.runtime.sql import load

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
    "targets",
    "changes",
    "content",
)
_ANSWER = "answer"


@cache
def context_steps() -> str:
    """Return the steps after ``judging_subject``, ready to stand behind its comma."""
    return ",\n".join(load(__package__, part).strip() for part in (*PARTS, _ANSWER))


@cache
def context_answer() -> str:
    """Return the step that names the columns of the context."""
    return str(load(__package__, _ANSWER))
