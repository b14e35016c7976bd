"""What is done to the workers and to the database, and how they are brought back."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from tieline import __version__
from tieline.kernel.errors import TielineError
from tieline.kernel.failpoints import EXIT_CODE, PAUSE, VARIABLE
from tieline.proof import processes
from tieline.proof.proving.load import real_now
from tieline.proof.proving.options import LEASE_SECONDS
from tieline.proof.proving.world import World
from tieline.proof.sabotage import SABOTAGES
from tieline.settings import Settings

# Where a write is most easily done twice or lost: half of all deaths and pauses are there.
PLACES = (
    "intake.after_raw",
    "intake.after_versions",
    "judge.after_commit",
    "lines.after_intent",
    "lines.after_answer",
    "lines.after_read_back",
    "lines.after_record",
    "lines.before_probe",
    "lines.after_probe",
    "post_lines.between_rounds",
)
PAUSES = ("lines.after_intent", "lines.after_answer", "lines.after_probe", "lines.before_probe")
_PASSAGES_MAX = 3
_START_SECONDS = 3
_SLEEP_SECONDS_MAX = 5
_WAKE_SECONDS = 15
_DATABASE_FATES = ("postmaster", "immediate", "backend")
_PATIENCE_SECONDS = 60

Tell = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Worker:
    """One worker process, as if on a machine of its own: nobody else may end it."""

    name: str
    process: processes.Popen
    failpoint: str | None
    started: float
    wake_at: float | None = None
    ends_at: float | None = None

    @property
    def is_to_sleep(self) -> bool:
        """Tell whether it was told to fall asleep."""
        return self.failpoint is not None and self.failpoint.endswith(f":{PAUSE}")

    @property
    def is_stopped(self) -> bool:
        """Tell whether it stands still."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as stat:
                return stat.read().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False


@dataclass(slots=True, kw_only=True)
class Havoc:
    """Break workers and database on a seed, and count what was broken."""

    world: World
    settings: Settings
    seed: int
    sabotage: str | None
    environment: Mapping[str, str]
    tell: Tell
    workers: list[Worker] = field(default_factory=list)
    asleep: list[Worker] = field(default_factory=list)
    kills: int = 0
    zombies: int = 0
    fates: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_DATABASE_FATES, 0)))
    upgrades: int = 0
    unexpected: int = 0
    broken_at: list[datetime] = field(default_factory=list)
    _number: int = 0
    _fates_left: list[str] = field(default_factory=list)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(f"havoc:{self.seed}")

    @property
    def database_crashes(self) -> int:
        """Tell how often the database was broken."""
        return self.fates.total()

    @property
    def is_anybody_asleep(self) -> bool:
        """Tell whether somebody sleeps, or is about to."""
        return bool(self.asleep) or any(worker.is_to_sleep for worker in self.workers)

    def add_worker(self, *, failpoint: str | None = None) -> None:
        """Start one more worker, which may be told where to die or to fall asleep."""
        self._number += 1
        name = f"worker-{self._number}"
        process = processes.spawn(
            name=name,
            module="tieline.app",
            arguments=[
                *("prove-worker", "--machine", name, "--lease-seconds", str(LEASE_SECONDS)),
                *(() if self.sabotage is None else ("--sabotage", self.sabotage)),
                *(("--as-version", f"{__version__}+{self.upgrades}") if self.upgrades else ()),
            ],
            log_file=self.settings.log_directory / "workers.log",
            environment={**self.environment, **({VARIABLE: failpoint} if failpoint else {})},
        )
        processes.remember(self.settings.run_directory, name=name, pid=process.pid)
        self.workers.append(
            Worker(name=name, process=process, failpoint=failpoint, started=time.monotonic())
        )

    def kill(self) -> None:
        """Kill a worker where it happens to be; the one in its place may be told to die in a place."""
        victim = self._any()
        self._end(victim)
        self._note_break()
        self.kills += 1
        place = self._somewhere(PLACES) if self._random.random() < 0.5 else None
        self.add_worker(failpoint=victim.failpoint if victim.is_to_sleep else place)

    def stop_one(self) -> None:
        """Stop a worker where it happens to be, or let one that starts fall asleep in a bad place.

        It is replaced at once, and wakes up after its lease has passed to others.
        """
        self._note_break()
        sleeps_at = "" if self.sabotage is None else SABOTAGES[self.sabotage].sleeps_at
        if sleeps_at or self._random.random() < 0.5:
            # It is woken when it has fallen asleep, see ``look``.
            place = f"{sleeps_at}:1" if sleeps_at else self._somewhere(PAUSES)
            self._end(self._any())
            self.add_worker(failpoint=f"{place}:{PAUSE}")
        else:
            self._stop(self._any())

    def crash_database(self) -> None:
        """Kill the postmaster, stop it at once, or kill one of its backends; bring it back."""
        # Each of the three comes up as often as the others, in an order of the seed.
        self._fates_left = self._fates_left or self._random.sample(_DATABASE_FATES, 3)
        fate = self._fates_left.pop()
        self.fates[fate] += 1
        self._note_break()
        if fate == "backend":
            self._kill_backend()
            return
        pid = int((self.world.cluster.data_directory / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL if fate == "postmaster" else signal.SIGQUIT)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self.world.cluster.ensure_running()
            except TielineError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def look(self) -> None:
        """Bring back who died, wake who slept long enough, and end who does not wake."""
        now = time.monotonic()
        for worker in [each for each in self.workers if each.process.poll() is not None]:
            self.workers.remove(worker)
            self._note_break()
            if worker.process.returncode == EXIT_CODE and worker.failpoint is not None:
                self.kills += 1
            else:
                self.unexpected += 1
            self.add_worker(failpoint=worker.failpoint if worker.is_to_sleep else None)
        for worker in [each for each in self.workers if each.is_stopped]:
            self._put_to_sleep(worker)
        for worker in list(self.asleep):
            self._look_at_sleeper(worker, now)

    def wake_all(self) -> None:
        """Wake everybody who sleeps now, for no more is broken from here on."""
        for worker in self.asleep:
            if worker.wake_at is not None:
                worker.wake_at = min(worker.wake_at, time.monotonic() + LEASE_SECONDS)

    def put_down(self) -> None:
        """Stop who was told to fall asleep and has not come to it, where they are."""
        for worker in [each for each in self.workers if each.is_to_sleep]:
            self._stop(worker)

    def calm(self) -> None:
        """Replace who was told to die and has not come to it, and let the rest fall asleep."""
        self.put_down()
        for worker in [each for each in self.workers if each.failpoint is not None]:
            self._end(worker)
            self._note_break()
            self.add_worker()

    def end(self) -> None:
        """End every process."""
        for worker in [*self.workers, *self.asleep]:
            worker.process.kill()
            worker.process.wait()
            self._forget(worker)

    def upgrade(self) -> None:
        """Kill every worker where it happens to be, and start as many of another version."""
        number = self.stop_all()
        self.upgrades += 1
        for _ in range(number):
            self.add_worker()
        self._note_break()

    def stop_all(self) -> int:
        """End every worker for good, as before a restore; return how many there were."""
        self.put_down()
        number = len(self.workers)
        self.end()
        self.workers.clear()
        self.asleep.clear()
        return number

    def note_break(self) -> None:
        """Note that something was broken outside of this."""
        self._note_break()

    def _look_at_sleeper(self, worker: Worker, now: float) -> None:
        if worker.process.poll() is not None:
            self.asleep.remove(worker)
            self._forget(worker)
        elif worker.wake_at is not None and now >= worker.wake_at:
            os.kill(worker.process.pid, signal.SIGCONT)
            worker.wake_at, worker.ends_at = None, now + _WAKE_SECONDS
        elif worker.ends_at is not None and now >= worker.ends_at:
            worker.process.terminate()
            # Who was stopped before it came to its place fell asleep there once more, and hears nothing.
            os.kill(worker.process.pid, signal.SIGCONT)
            worker.ends_at = None

    def _stop(self, worker: Worker) -> None:
        os.kill(worker.process.pid, signal.SIGSTOP)
        self._put_to_sleep(worker)

    def _put_to_sleep(self, worker: Worker) -> None:
        # Counted when it sleeps, not when it is told to.
        self.zombies += 1
        self.workers.remove(worker)
        self.asleep.append(worker)
        self._note_break()
        late = self._random.uniform(1, _SLEEP_SECONDS_MAX)
        # A lease, and the time others need to notice, to wait for the target and to send anew.
        worker.wake_at = time.monotonic() + 2 * LEASE_SECONDS + late
        self.add_worker()

    def _note_break(self) -> None:
        self.broken_at.append(real_now())

    def _kill_backend(self) -> None:
        with psycopg.connect(self.world.cluster.superuser_dsn, autocommit=True) as admin:
            rows = admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename LIKE 'tieline_%' AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend' AND usename <> 'tieline_admin' ORDER BY pid"
            ).fetchall()
        if rows:
            os.kill(self._random.choice(rows)[0], signal.SIGKILL)

    def _somewhere(self, places: tuple[str, ...]) -> str:
        return f"{self._random.choice(places)}:{self._random.randint(1, _PASSAGES_MAX)}"

    def _any(self) -> Worker:
        # Who is still starting does nothing that could be broken; who is to fall asleep is left to it.
        now = time.monotonic()
        awake = [each for each in self.workers if not each.is_to_sleep]
        grown = [each for each in awake if now - each.started > _START_SECONDS]
        return self._random.choice(grown or awake or self.workers)

    def _end(self, worker: Worker) -> None:
        self.workers.remove(worker)
        worker.process.kill()
        worker.process.wait(timeout=_PATIENCE_SECONDS)
        self._forget(worker)

    def _forget(self, worker: Worker) -> None:
        (self.settings.run_directory / f"{worker.name}.json").unlink(missing_ok=True)
