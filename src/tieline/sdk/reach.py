"""How far a cursor may move: no further than a clock vouches for.

A record may say that it changed next week, or in a year nobody lives to see. It becomes what its
content says; a cursor that followed it there would see nothing of what changes until then.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tieline.sdk.http import HttpClient
from tieline.sdk.protocols import Connection

# A cursor further ahead of our clock was not left by this rule; a Date header further behind is no clock.
_DOUBT = timedelta(days=1)


def believed(moment: datetime | None, *, connection: Connection) -> datetime | None:
    """Return up to when a stream was read, or None to read it whole: nobody can have read the future."""
    clock = connection.clock
    if moment is None or clock is None or moment <= clock.now() + _DOUBT:
        return moment
    return None


def reached(moment: datetime, *, http: HttpClient) -> datetime:
    """Return an instant that a source tells, but none after its own last answer or our clock."""
    clock = http.connection.clock
    if clock is None:
        return moment
    now, answered_at = clock.now(), http.answered_at()
    if answered_at is None or answered_at < now - _DOUBT:
        return min(moment, now)
    return min(moment, now, answered_at)
