"""The business clock: real time, or an anchor plus the real time since it was set."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tieline.kernel.clock import Clock
from tieline.settings import Settings

_FILE = "clock.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessClock:
    """Tell business time; both instants None means real time."""

    anchor: datetime | None = None
    started_at: datetime | None = None

    def now(self) -> datetime:
        """Return the present business instant, aware and in UTC."""
        real = datetime.now(UTC)
        if self.anchor is None or self.started_at is None:
            return real
        return self.anchor + (real - self.started_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestClock:
    """Tell the latest instant that a system may rightly write on a record: of business time, or real."""

    business: Clock

    def now(self) -> datetime:
        """Return the later of the two."""
        return max(self.business.now(), datetime.now(UTC))


def open_clock(*, settings: Settings) -> BusinessClock:
    """Return the clock that every process of this installation shares.

    The first process to ask with an anchor writes down when business time began; the others read
    it. Another anchor starts the clock anew.
    """
    if settings.business_now is None:
        return BusinessClock()
    path = settings.run_directory / _FILE
    clock = _read(path)
    if clock is None or clock.anchor != settings.business_now:
        clock = BusinessClock(anchor=settings.business_now, started_at=datetime.now(UTC))
        _write(path, clock)
    return clock


def _read(path: Path) -> BusinessClock | None:
    if not path.exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return BusinessClock(
        anchor=datetime.fromisoformat(stored["anchor"]),
        started_at=datetime.fromisoformat(stored["started_at"]),
    )


def _write(path: Path, clock: BusinessClock) -> None:
    assert clock.anchor is not None
    assert clock.started_at is not None
    stored = {"anchor": clock.anchor.isoformat(), "started_at": clock.started_at.isoformat()}
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(stored), encoding="utf-8")
    draft.replace(path)
