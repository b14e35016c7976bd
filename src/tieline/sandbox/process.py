"""What every sandbox process shares: its run file, its clock, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


class SandboxClock:
    """Tell the vendor's time: real, or running on from an instant that was set."""

    def __init__(self, *, now: datetime | None = None) -> None:
        self._offset = timedelta(0)
        if now is not None:
            self.set(now)

    def set(self, now: datetime) -> None:
        """Let time run on from this instant."""
        self._offset = now.astimezone(UTC) - datetime.now(UTC)

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC) + self._offset


def write_run_file(path: Path, *, port: int, host: str = "127.0.0.1") -> None:
    """Publish pid, start time and address in one step."""
    content = {
        "pid": os.getpid(),
        "pid_started": pid_started(os.getpid()),
        "port": port,
        "url": f"http://{host}:{port}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(path)


def pid_started(pid: int) -> int:
    """Return the process's start in clock ticks since boot, as /proc/PID/stat tells it."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(stat.rpartition(")")[2].split()[19])


def run_until_stopped(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run the process until SIGTERM or SIGINT asks it to finish."""

    async def guarded() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await main(stopped)

    asyncio.run(guarded())


def secret(value: str | None, *, variable: str, option: str) -> str:
    """Return a secret given by option or environment, or end with one sentence."""
    found = value or os.environ.get(variable)
    if not found:
        sys.exit(f"{option} is missing; give it, or set {variable}")
    return found


def monotonic() -> float:
    """Return seconds for measuring intervals."""
    return time.monotonic()
