"""Group what needs a person into cases: one cause, its members, its money at risk.

In: held verdicts, unreadable records, refused writes, requests. Out: cases that close themselves.
Law: one open case per cause; a member leaves when its cause is gone; nothing held is without a case.
"""

from tieline.casework.cases import (
    CASES_PAGE_MAX,
    CaseDetail,
    CaseSummary,
    Cause,
    Member,
    assign,
    close_absent,
    close_case,
    count_open,
    dismiss,
    fix_and_replay,
    get_case,
    keep_cases,
    leave_out,
    leave_out_hours,
    list_cases,
    list_causes,
    list_held,
    open_case,
    value_at_risk,
)
from tieline.casework.owed import CutOff, OwedCase, Worth, list_owed, sum_owed
from tieline.casework.upkeep import Upkeep, sync_time_cases

__all__ = [
    "CASES_PAGE_MAX",
    "CaseDetail",
    "CaseSummary",
    "Cause",
    "CutOff",
    "Member",
    "OwedCase",
    "Upkeep",
    "Worth",
    "assign",
    "close_absent",
    "close_case",
    "count_open",
    "dismiss",
    "fix_and_replay",
    "get_case",
    "keep_cases",
    "leave_out",
    "leave_out_hours",
    "list_cases",
    "list_causes",
    "list_held",
    "list_owed",
    "open_case",
    "sum_owed",
    "sync_time_cases",
    "value_at_risk",
]
