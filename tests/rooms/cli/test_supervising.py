"""What dies is started again, slower each time; one supervisor holds an installation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tieline.kernel.errors import TryAgain, UserMistake
from tieline.proof.supervising import Supervisor, Watch, alone
from tieline.runtime.postgres import EmbeddedCluster

_SECONDS_MAX = 15


class TestSupervisor:
    @pytest.fixture
    def started(self, monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
        """Start sleepers, or what ends at once, in place of workers."""
        started: list[subprocess.Popen[bytes]] = []

        def spawn(*, name: str, **_: Any) -> subprocess.Popen[bytes]:
            words = ["sleep", "60"] if name == "steady" else ["false"]
            started.append(subprocess.Popen(words))
            return started[-1]

        monkeypatch.setattr("tieline.proof.supervising.processes.spawn", spawn)
        return started

    def test_starts_again_what_was_killed_and_ends_it_in_the_end(
        self, started: list[subprocess.Popen[bytes]], tmp_path: Path
    ) -> None:
        told: list[str] = []
        with _running(tmp_path, "steady", told):
            _wait_for(lambda: len(started) == 1)
            os.kill(started[0].pid, signal.SIGKILL)
            _wait_for(lambda: len(started) == 2)
            assert started[1].poll() is None

        assert [process.poll() for process in started] == [-signal.SIGKILL, -signal.SIGTERM]
        assert told == [
            f"steady ended with -9 and is started again in 0 s; see {tmp_path / 'steady.log'}"
        ]
        assert list(tmp_path.glob("*.json")) == []

    def test_waits_longer_after_every_death(
        self, started: list[subprocess.Popen[bytes]], tmp_path: Path
    ) -> None:
        told: list[str] = []
        with _running(tmp_path, "broken", told):
            _wait_for(lambda: len(told) >= 3)

        waits = [sentence.partition("again in ")[2].split()[0] for sentence in told[:3]]
        assert waits == ["0", "1", "3"]

    def test_looks_after_what_it_did_not_start(self, tmp_path: Path) -> None:
        looks: list[int] = []
        stop = threading.Event()

        def look() -> None:
            looks.append(1)
            if len(looks) == 2:
                stop.set()

        _supervisor(tmp_path, [], look).run(stop)

        assert len(looks) == 2


class TestWatch:
    def test_says_once_where_the_pages_are(self, tmp_path: Path) -> None:
        told: list[str] = []
        run_file = tmp_path / "console.json"
        watch = Watch(cluster=None, run_file=run_file, tell=told.append)

        watch.look()
        run_file.write_text("{", encoding="utf-8")
        watch.look()
        for port in (1, 1, 2):
            run_file.write_text(f'{{"url": "http://127.0.0.1:{port}"}}', encoding="utf-8")
            watch.look()

        assert told == [
            "the pages and the API are at http://127.0.0.1:1",
            "the pages and the API are at http://127.0.0.1:2",
        ]

    def test_says_once_that_the_database_does_not_come_back(self, tmp_path: Path) -> None:
        class Broken:
            def ensure_running(self) -> None:
                raise TryAgain("the server does not answer")

        told: list[str] = []
        watch = Watch(
            cluster=cast(EmbeddedCluster, Broken()), run_file=tmp_path / "none", tell=told.append
        )

        watch.look()
        watch.look()

        assert told == ["the server does not answer"]


class TestAlone:
    def test_refuses_a_second_supervisor(self, tmp_path: Path) -> None:
        with (
            alone(tmp_path),
            pytest.raises(UserMistake, match="runs there already"),
            alone(tmp_path),
        ):
            pass

    def test_lets_the_next_one_in(self, tmp_path: Path) -> None:
        with alone(tmp_path):
            pass
        with alone(tmp_path):
            pass


@contextmanager
def _running(folder: Path, name: str, told: list[str]) -> Iterator[None]:
    stop = threading.Event()
    supervisor = _supervisor(folder, told, lambda: None)
    supervisor.add(name=name, words=[])
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join(timeout=_SECONDS_MAX)


def _supervisor(folder: Path, told: list[str], look_after: Callable[[], None]) -> Supervisor:
    return Supervisor(
        run_directory=folder,
        log_directory=folder,
        environment={},
        look_after=look_after,
        tell=told.append,
    )


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


_ENDED = """
import signal, sys, time
from tieline.proof.processes import interrupted_by_signals
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with interrupted_by_signals():
    try:
        print("running", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("cleaning up", flush=True)
        sys.stdin.read()
        print("cleaned up", flush=True)
"""


class TestInterrupted:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_cleans_up_at_any_signal_and_is_not_interrupted_then(
        self, number: signal.Signals
    ) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", _ENDED],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"

        process.send_signal(number)
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(number)
        told, _ = process.communicate(timeout=20)

        assert (told, process.returncode) == ("cleaned up\n", 0)
