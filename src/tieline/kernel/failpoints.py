"""Named places where a test may end the process, so that every crash point can be enumerated."""

from __future__ import annotations

import os
import threading

_VARIABLE = "TIELINE_FAILPOINT"
_EXIT_CODE = 137
_hits: dict[str, int] = {}
_lock = threading.Lock()


def failpoint(name: str) -> None:
    """End the process as kill -9 would when ``TIELINE_FAILPOINT=name:n`` names this n-th passage."""
    wanted = os.environ.get(_VARIABLE)
    if not wanted:
        return
    wanted_name, _, count = wanted.partition(":")
    if wanted_name != name:
        return
    with _lock:
        _hits[name] = _hits.get(name, 0) + 1
        is_due = _hits[name] == int(count or "1")
    if is_due:
        os._exit(_EXIT_CODE)
