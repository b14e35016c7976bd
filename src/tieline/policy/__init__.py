"""What two people approved: numbered releases of rules, severities and values.

In: drafts with a reason. Out: the current release, differences between two, what to judge again.
Law: one release is current; its approver is not its proposer; a release never changes.
"""

from tieline.policy.releases import (
    Override,
    PolicyValue,
    Release,
    Rule,
    approve_release,
    current_release,
    diff_releases,
    draft_release,
    reject_release,
)
from tieline.policy.values import find_value

__all__ = [
    "Override",
    "PolicyValue",
    "Release",
    "Rule",
    "approve_release",
    "current_release",
    "diff_releases",
    "draft_release",
    "find_value",
    "reject_release",
]
