"""Write to targets so that one business event has at most one effect, whatever breaks.

In: requests and planned effects. Out: confirmed, waiting, rejected or in conflict, by read-back.
Law: key and payload hash are committed before the first byte; from UNKNOWN nothing is sent again,
and nothing at all into a scope that a check has stopped.
"""

from tieline.posting.line_moves import DOUBLED
from tieline.posting.outcomes import (
    Confirmed,
    Conflicted,
    EffectRequest,
    PostResult,
    Rejected,
    Undone,
    Waiting,
)
from tieline.posting.poster import Build, Poster, Wanted
from tieline.posting.stops import (
    Breach,
    StandingStop,
    StopScope,
    StopsKept,
    find_stop_in_the_way,
    get_stop,
    keep_stops,
    lift_stop,
    list_stops,
)

__all__ = [
    "DOUBLED",
    "Breach",
    "Build",
    "Confirmed",
    "Conflicted",
    "EffectRequest",
    "PostResult",
    "Poster",
    "Rejected",
    "StandingStop",
    "StopScope",
    "StopsKept",
    "Undone",
    "Waiting",
    "Wanted",
    "find_stop_in_the_way",
    "get_stop",
    "keep_stops",
    "lift_stop",
    "list_stops",
]
