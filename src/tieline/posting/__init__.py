"""Write to targets so that one business event has at most one effect, whatever breaks.

In: requests and planned effects. Out: confirmed, waiting, rejected or in conflict, by read-back.
Law: key and payload hash are committed before the first byte; from UNKNOWN nothing is sent again.
"""

from tieline.posting.outcomes import (
    Confirmed,
    Conflicted,
    EffectRequest,
    PostResult,
    Rejected,
    Undone,
    Waiting,
)
from tieline.posting.poster import Poster

__all__ = [
    "Confirmed",
    "Conflicted",
    "EffectRequest",
    "PostResult",
    "Poster",
    "Rejected",
    "Undone",
    "Waiting",
]
