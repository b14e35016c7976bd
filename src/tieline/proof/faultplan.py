"""What goes wrong in the demo, and when: armed stage by stage, always the same for a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Rule = Mapping[str, Any]

_CREATE_LINES = r"model\.timesheet\.line\.create"

TIME_LINE_RULES = "hours-"


def _hours(
    *, lost: Sequence[int], late: Sequence[int], refused: Sequence[int], busy: Sequence[int]
) -> Sequence[Rule]:
    """Return what befalls the so many-th batches of hours on their way to the ERP."""
    return (
        {"name": "hours-lost", "kind": "answer_lost", "occurrences": lost, "body": _CREATE_LINES},
        {"name": "hours-late", "kind": "late_commit", "occurrences": late,
         "delay_ms": 1500, "hold_ms": 200, "body": _CREATE_LINES},
        {"name": "hours-refused", "kind": "refuse_503_before", "occurrences": refused, "body": _CREATE_LINES},
        {"name": "hours-busy", "kind": "rate_limit_429", "occurrences": busy,
         "retry_after_seconds": 1, "body": _CREATE_LINES},
        {"name": "hours-cut", "kind": "truncated_body", "occurrences": [15], "body": _CREATE_LINES},
    )  # fmt: skip


# The first deal and the first batch pass, so that money moves at once; later ones meet faults.
# Lost answers and late commits hit batches of hours on their way to the ERP.
ERP_WHILE_POSTING = _hours(
    lost=[2, 5, 8, 11, 17], late=[3, 6, 9, 12, 19], refused=[10, 21], busy=[7, 14, 20]
)
# Records come as many small batches at once: faults that follow each other would open the breaker.
ERP_WHILE_POSTING_RECORDS = _hours(
    lost=[2, 6, 11, 17], late=[4, 8, 13, 19], refused=[10, 21], busy=[5, 14, 20]
)
ERP_WHILE_PROVISIONING: Sequence[Rule] = (
    {"name": "project-lost", "kind": "answer_lost",
     "body": r"model\.project\.work\.create", "occurrences": [9, 16]},
    {"name": "project-late", "kind": "late_commit",
     "body": r"model\.project\.work\.create", "occurrences": [12, 19], "delay_ms": 1500, "hold_ms": 200},
    {"name": "project-refused", "kind": "refuse_503_before",
     "body": r"model\.project\.work\.create", "occurrences": [8, 14, 22]},
    {"name": "project-busy", "kind": "rate_limit_429",
     "body": r"model\.project\.work\.create", "occurrences": [11, 20], "retry_after_seconds": 1},
    {"name": "contract-refused", "kind": "refuse_503_before",
     "body": r"model\.sale\.sale\.create", "occurrences": [2, 4]},
)  # fmt: skip
TIME_TOOL_WHILE_PROVISIONING: Sequence[Rule] = (
    {"name": "project-lost", "kind": "answer_lost", "method": "POST", "path": r"/projects",
     "occurrences": [12, 24]},
    {"name": "project-late", "kind": "late_commit", "method": "POST", "path": r"/projects",
     "occurrences": [18], "delay_ms": 800, "hold_ms": 200},
    {"name": "refused", "kind": "refuse_503_before", "path": r"/v2/", "occurrences": [40, 49, 58, 67, 76, 90]},
    {"name": "busy", "kind": "rate_limit_429", "path": r"/v2/", "occurrences": [44, 62, 81],
     "retry_after_seconds": 1},
)  # fmt: skip
CRM: Sequence[Rule] = (
    {"name": "refused", "kind": "refuse_503_before", "path": r"/crm/", "occurrences": [24, 36, 49, 63]},
    {"name": "busy", "kind": "rate_limit_429", "path": r"/crm/", "occurrences": [30, 43, 57],
     "retry_after_seconds": 1},
)  # fmt: skip
# While posted hours exist: pages that skip or repeat, and answers from before.
TIME_TOOL_WHILE_READING: Sequence[Rule] = (
    {"name": "read-stale", "kind": "stale_read", "method": "GET", "path": r"/time_entries",
     "occurrences": [1, 4, 8]},
    {"name": "page-skipped", "kind": "skipped_page", "method": "GET", "path": r"/time_entries",
     "occurrences": [2, 5]},
    {"name": "page-twice", "kind": "duplicate_page", "method": "GET", "path": r"/time_entries",
     "occurrences": [3, 6]},
)  # fmt: skip
