"""Business time as a dependency."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tell the firm's business time; the real one is made in app.py."""

    def now(self) -> datetime:
        """Return the present business instant, aware and in UTC."""
        ...
