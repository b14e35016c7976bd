"""What two people approved: numbered releases of rules, severities and values.

In: drafts with a reason. Out: the current release, differences between two, what to judge again.
Law: one release is current; its approver is not its proposer; a release never changes.
"""

from tieline.policy.releases import (
    OWN,
    Override,
    PolicyValue,
    Release,
    ReleaseLine,
    ReleaseText,
    Rule,
    approve_release,
    current_release,
    diff_releases,
    draft_release,
    find_release,
    has_release,
    list_releases,
    read_release,
    reject_release,
)
from tieline.policy.values import find_value

__all__ = [
    "OWN",
    "Override",
    "PolicyValue",
    "Release",
    "ReleaseLine",
    "ReleaseText",
    "Rule",
    "approve_release",
    "current_release",
    "diff_releases",
    "draft_release",
    "find_release",
    "has_release",
    "find_value",
    "list_releases",
    "read_release",
    "reject_release",
]
