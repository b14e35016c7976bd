"""The demo's console: one web process, and the box that says where it is and who may enter."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from tieline.proof import processes
from tieline.proof.demo import Login
from tieline.proof.supervising import worker_environment
from tieline.sandbox import erp
from tieline.settings import Settings

_NAME = "console"
# The first start fetches the console's assets; the story does not wait for it.
_START_SECONDS_MAX = 300
_POLL_SECONDS = 0.2
# What else is looked at, by the name of its run file.
_PLACES = {"Tryton": "tryton", "Board": "board"}
Progress = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class DemoConsole:
    """Open the console beside the story, and keep it until a person has seen enough."""

    settings: Settings
    progress: Progress
    _opened: threading.Event = field(default_factory=threading.Event)

    def open(self, logins: Sequence[Login]) -> None:
        """Start the web process; the box is printed as soon as it answers."""
        (self.settings.run_directory / f"{_NAME}.json").unlink(missing_ok=True)
        process = processes.spawn(
            name=_NAME,
            module="tieline.app",
            arguments=["web"],
            log_file=self._log_file,
            environment=worker_environment(self.settings),
        )
        threading.Thread(
            target=self._say_where, args=(process, logins), name=_NAME, daemon=True
        ).start()
        threading.Thread(target=self._fetch_erp_pages, name="erp pages", daemon=True).start()

    def wait_for_the_end(self) -> None:
        """Keep everything running until Ctrl-C."""
        self._opened.wait(timeout=_START_SECONDS_MAX)
        self.progress("The firm goes on working. Ctrl-C ends everything.")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()

    @property
    def _log_file(self) -> Path:
        return self.settings.log_directory / f"{_NAME}.log"

    def _say_where(self, process: processes.Popen, logins: Sequence[Login]) -> None:
        run_file = self.settings.run_directory / f"{_NAME}.json"
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not run_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                self.progress(f"the console did not start; see {self._log_file}")
                return
            time.sleep(_POLL_SECONDS)
        facts = json.loads(run_file.read_text(encoding="utf-8"))
        Console(file=sys.stderr).print(_box(facts, places=self._places(), logins=logins))
        self._opened.set()

    def _fetch_erp_pages(self) -> None:
        try:
            erp.ensure_web_client(cache=self.settings.cache)
        except (RuntimeError, OSError) as error:
            self.progress(f"Tryton has no pages of its own here: {error}")

    def _places(self) -> Mapping[str, str]:
        return {
            title: json.loads(
                (self.settings.run_directory / f"{name}.json").read_text(encoding="utf-8")
            )["url"]
            for title, name in _PLACES.items()
        }


def _box(facts: Mapping[str, Any], *, places: Mapping[str, str], logins: Sequence[Login]) -> Panel:
    lines = Table.grid(padding=(0, 2))
    lines.add_row("Console", facts["url"])
    for title, url in places.items():
        lines.add_row(title, url)
    lines.add_row("API", f"{facts['url']}/v1/openapi.json")
    for login in logins:
        lines.add_row(f"Who {login.does}", f"{login.login}  {login.password}")
    if facts["notice"]:
        lines.add_row("", facts["notice"])
    return Panel(lines, title="Tieline", expand=False)
