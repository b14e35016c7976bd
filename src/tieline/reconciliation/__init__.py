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
from tieline.reconciliation.own_books import (
    OWN_CHECKS,
    CurrencySum,
    Found,
    look_at_own_books,
    sum_currencies,
)
from tieline.reconciliation.results import (
    GREEN,
    NOT_CHECKED,
    RED,
    CheckResult,
    LastingScope,
    count_lasting,
    keep_result,
    list_lasting,
    list_results,
)

__all__ = [
    "GREEN",
    "NOT_CHECKED",
    "OWN_CHECKS",
    "PLACES",
    "RED",
    "SOURCE",
    "TARGET",
    "AskedHours",
    "Check",
    "CheckResult",
    "Conservation",
    "CurrencySum",
    "Difference",
    "Found",
    "LastingScope",
    "Standing",
    "TargetScope",
    "ask_source",
    "ask_streams",
    "ask_target",
    "compare_source",
    "compare_target",
    "count_lasting",
    "keep_result",
    "keep_source_check",
    "keep_target_check",
    "list_checks",
    "list_differences",
    "list_lasting",
    "list_results",
    "look_at_own_books",
    "note_target_asked",
    "read_booked",
    "read_places",
    "sum_currencies",
]
