"""Compare the same facts in every system and name the differences.

In: what a source and a target answer. Out: sums by place, typed differences.
Law: neither our ledger nor the ERP is repaired silently; what was not asked is not checked.
"""

from tieline.reconciliation.conservation import (
    Conservation,
    Difference,
    ask_source,
    compare_source,
    compare_target,
    read_places,
)

__all__ = [
    "Conservation",
    "Difference",
    "ask_source",
    "compare_source",
    "compare_target",
    "read_places",
]
