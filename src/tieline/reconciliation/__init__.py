"""Compare the same facts in every system and name the differences.

In: what a source and a target answer. Out: sums by place, typed differences, checks with instants.
Law: neither our ledger nor the ERP is repaired silently; what was not asked is not checked.
"""

from tieline.reconciliation.checks import (
    SOURCE,
    TARGET,
    AskedHours,
    Check,
    Standing,
    TargetScope,
    ask_streams,
    ask_target,
    keep_source_check,
    keep_target_check,
    list_checks,
    list_differences,
    note_target_asked,
    read_booked,
)
from tieline.reconciliation.conservation import (
    PLACES,
    Conservation,
    Difference,
    ask_source,
    compare_source,
    compare_target,
    read_places,
)

__all__ = [
    "PLACES",
    "SOURCE",
    "TARGET",
    "AskedHours",
    "Check",
    "Conservation",
    "Difference",
    "Standing",
    "TargetScope",
    "ask_source",
    "ask_streams",
    "ask_target",
    "compare_source",
    "compare_target",
    "keep_source_check",
    "keep_target_check",
    "list_checks",
    "list_differences",
    "note_target_asked",
    "read_booked",
    "read_places",
]
