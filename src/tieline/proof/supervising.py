"""Keep the processes of an installation alive in the foreground until somebody says stop."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tieline.governance import NOTED_ANCHOR
from tieline.kernel.errors import TielineError, UserMistake
from tieline.proof import processes
from tieline.runtime.postgres import EmbeddedCluster
from tieline.settings import (
    DSN_VARIABLE,
    HOME_VARIABLE,
    LISTEN_VARIABLE,
    WEB_URL_VARIABLE,
    Settings,
)

LOOK_SECONDS = 0.5
_BACK_OFF_SECONDS_MAX = 30
# A process that lived this long has started well: its next death is the first again.
_STEADY_SECONDS = 60
_STOP_SECONDS = 30

Tell = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Kept:
    """One process that is started again whenever it dies, slower each time."""

    name: str
    words: Sequence[str]
    process: processes.Popen | None = None
    started: float = 0
    deaths: int = 0
    start_again_at: float = 0


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Start processes, start them again when they die, and end them in the end.

    ``look_after`` is called with every look, for what is kept alive in another way.
    """

    run_directory: Path
    log_directory: Path
    environment: Mapping[str, str]
    look_after: Callable[[], None]
    tell: Tell
    kept: list[Kept] = field(default_factory=list)

    def add(self, *, name: str, words: Sequence[str]) -> None:
        """Keep ``tieline`` with these words running."""
        self.kept.append(Kept(name=name, words=words))

    def run(self, stop: threading.Event) -> None:
        """Look after everything until told to stop, then end it."""
        try:
            while not stop.is_set():
                self.look_after()
                for each in self.kept:
                    self._look(each, now=time.monotonic())
                stop.wait(LOOK_SECONDS)
        finally:
            self._end()

    def _look(self, each: Kept, *, now: float) -> None:
        if each.process is not None and each.process.poll() is None:
            return
        if each.process is not None:
            lived = now - each.started
            each.deaths = 1 if lived >= _STEADY_SECONDS else each.deaths + 1
            wait = min(_BACK_OFF_SECONDS_MAX, 2 ** (each.deaths - 1) - 1)
            each.start_again_at = now + wait
            self.tell(
                f"{each.name} ended with {each.process.returncode} and is started again in {wait} s;"
                f" see {self._log(each)}"
            )
            each.process = None
        if now >= each.start_again_at:
            self._start(each, now=now)

    def _start(self, each: Kept, *, now: float) -> None:
        each.process = processes.spawn(
            name=each.name,
            module="tieline.app",
            arguments=each.words,
            log_file=self._log(each),
            environment=self.environment,
        )
        each.started = now
        try:
            processes.remember(self.run_directory, name=each.name, pid=each.process.pid)
        except OSError as error:
            # A full disk must not end who keeps everything running.
            self.tell(f"{each.name} runs and is not written down: {error.strerror}")

    def _end(self) -> None:
        running = [each for each in self.kept if each.process and each.process.poll() is None]
        for each in running:
            assert each.process is not None
            each.process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for each in running:
            assert each.process is not None
            while each.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if each.process.poll() is None:
                self.tell(f"{each.name} did not end in time and is killed")
                each.process.kill()
                each.process.wait()
        for each in self.kept:
            (self.run_directory / f"{each.name}.json").unlink(missing_ok=True)

    def _log(self, each: Kept) -> Path:
        return self.log_directory / f"{each.name}.log"


@dataclass(slots=True, kw_only=True)
class Watch:
    """Keep the embedded database running, and say where the pages are once they are there."""

    cluster: EmbeddedCluster | None
    run_file: Path
    tell: Tell
    _told: str = ""
    _is_broken: bool = False

    def look(self) -> None:
        """Look once; a database that does not come back is said once and tried again."""
        if self.cluster is not None:
            self._keep(self.cluster)
        address = self._address()
        if address not in ("", self._told):
            self.tell(f"the pages and the API are at {address}")
            self._told = address

    def _keep(self, cluster: EmbeddedCluster) -> None:
        try:
            cluster.ensure_running()
        except (TielineError, OSError) as error:
            if not self._is_broken:
                self.tell(str(error))
            self._is_broken = True
        else:
            self._is_broken = False

    def _address(self) -> str:
        try:
            return str(json.loads(self.run_file.read_text(encoding="utf-8"))["url"])
        except (FileNotFoundError, ValueError, KeyError):
            # Not there yet, or being written.
            return ""


def refuse_a_home_in_use(
    settings: Settings, *, made_up_in: Path, what: str, found: str = "a firm's installation"
) -> None:
    """Let a demo or a proof empty only what one of its kind made up.

    :raises UserMistake: the database is named by its DSN, or the home is a firm's installation.
    """
    if settings.dsn is not None:
        raise UserMistake(f"the {what} brings a database of its own: run it without {DSN_VARIABLE}")
    is_installed = (settings.secrets_directory / "master.key").exists()
    if is_installed and not made_up_in.exists():
        raise UserMistake(
            f"{settings.home} is {found}, and a {what} would empty it:"
            f" give the {what} another {HOME_VARIABLE}"
        )


def fresh(settings: Settings) -> Settings:
    """Return the settings of a home whose business clock has not begun."""
    settings.prepare_folders()
    # Every run begins in the same business instant, also in a home that has seen one.
    (settings.run_directory / "clock.json").unlink(missing_ok=True)
    # Its database is made anew: what was noted of the audit of an earlier one says nothing of this.
    (settings.home / NOTED_ANCHOR).unlink(missing_ok=True)
    return settings


def tell(sentence: str) -> None:
    """Say how far it is, on standard error."""
    print(sentence, file=sys.stderr, flush=True)


def worker_environment(settings: Settings) -> Mapping[str, str]:
    """Return what a child process needs to find this installation."""
    values = {"TIELINE_HOME": str(settings.home), "TIELINE_CACHE": str(settings.cache)}
    if settings.business_now is not None:
        values["TIELINE_BUSINESS_NOW"] = settings.business_now.isoformat()
    if settings.web_url:
        host, port = settings.listen
        values |= {WEB_URL_VARIABLE: settings.web_url, LISTEN_VARIABLE: f"{host}:{port}"}
    return values


@contextmanager
def alone(run_directory: Path) -> Iterator[None]:
    """Hold an installation for one supervisor; a killed one gives it up by dying.

    :raises UserMistake: another supervisor has it.
    """
    descriptor = os.open(run_directory / "up.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserMistake(
                f"`tieline up` or a demo runs there already; see {run_directory}"
            ) from error
        yield
    finally:
        os.close(descriptor)
