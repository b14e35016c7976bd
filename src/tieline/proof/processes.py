"""Processes of a demo: started, found again by pid and start time, and cleared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tieline.kernel.errors import TryAgain

_POLL_SECONDS = 0.05
_STOP_SECONDS = 10
Popen = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process that published its run file."""

    name: str
    pid: int
    pid_started: int
    port: int
    url: str


def start(
    *,
    name: str,
    module: str,
    arguments: Sequence[str],
    run_file: Path,
    log_file: Path,
    environment: Mapping[str, str],
    wait_seconds: float = 30,
) -> Running:
    """Start ``python -m module`` and wait until it says where it listens.

    :raises TryAgain: it ended, or did not say so in time; the log has the reason.
    """
    run_file.unlink(missing_ok=True)
    process = spawn(
        name=name, module=module, arguments=arguments, log_file=log_file, environment=environment
    )
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        if run_file.exists():
            return _read(name, run_file)
        if process.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    raise TryAgain(f"{name} did not start; see {log_file}")


def spawn(
    *,
    name: str,
    module: str,
    arguments: Sequence[str],
    log_file: Path,
    environment: Mapping[str, str],
) -> Popen:
    """Start ``python -m module`` in a session of its own, with its output in a log file."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            start_new_session=True,
        )


def remember(directory: Path, *, name: str, pid: int) -> None:
    """Write down a process without a run file of its own, so that the next demo can clear it."""
    directory.mkdir(parents=True, exist_ok=True)
    content = {"pid": pid, "pid_started": pid_started(pid), "port": 0, "url": ""}
    (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def ending_signals() -> list[signal.Signals]:
    """Return what ends us; a terminal that we were told to outlive (nohup) does not."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first signal to end; what is cleaned up then is not interrupted.

    Also where a shell started us in the background and had us ignore Ctrl-C.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGHUP:
            # Nobody reads any more, and a sentence must not stop the cleaning up.
            with open(os.devnull, "wb") as nobody:
                os.dup2(nobody.fileno(), sys.stderr.fileno())
        print("Ending everything.", file=sys.stderr, flush=True)
        raise KeyboardInterrupt

    signals = ending_signals()
    before = [(number, signal.signal(number, end)) for number in signals]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def clear(directory: Path) -> list[str]:
    """End every process a killed demo left behind; only the very process that was started."""
    cleared = []
    for run_file in sorted(directory.glob("*.json")):
        facts = json.loads(run_file.read_text(encoding="utf-8"))
        if "pid" not in facts or "pid_started" not in facts:
            continue
        if is_alive(pid=facts["pid"], started=facts["pid_started"]):
            end(pid=facts["pid"], started=facts["pid_started"])
            cleared.append(run_file.stem)
        run_file.unlink(missing_ok=True)
    return cleared


def is_alive(*, pid: int, started: int) -> bool:
    """Say whether this very process still runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    fields = stat.rpartition(")")[2].split()
    return fields[0] != "Z" and int(fields[19]) == started


def pid_started(pid: int) -> int:
    """Return a process's start in clock ticks since boot."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(stat.rpartition(")")[2].split()[19])


def end(*, pid: int, started: int) -> None:
    """Ask a process to end, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _STOP_SECONDS
        while is_alive(pid=pid, started=started) and time.monotonic() < deadline:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            time.sleep(_POLL_SECONDS)
        if not is_alive(pid=pid, started=started):
            return


def _read(name: str, run_file: Path) -> Running:
    facts = json.loads(run_file.read_text(encoding="utf-8"))
    return Running(
        name=name,
        pid=facts["pid"],
        pid_started=facts["pid_started"],
        port=facts["port"],
        url=facts["url"],
    )
