"""A sender that was paused before its call, and whose work another did meanwhile, gives up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest

from tests.faults.stories import STORIES, Stage, State
from tests.promises.connectors.vendors import Vendor
from tests.support.deal import open_flow
from tieline.kernel.errors import LeaseLost
from tieline.runtime.executor import Executor
from tieline.runtime.leases import Fence
from tieline.runtime.migrate import Dsns

_LEASE_SECONDS = 2
_PATIENCE_SECONDS = 30
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.faults.stories"])

Set = tuple[Stage, tuple[Vendor, Vendor]]


def _send_late(stage: Stage, told: Connection) -> None:
    """Provision as an executor of another host, and fall asleep before the first byte."""
    fence = Fence()

    def before_write() -> None:
        if not told.closed:
            told.send("about to send")
            told.close()
            os.kill(os.getpid(), signal.SIGSTOP)
        fence.check()

    assert stage.systems is not None
    flow = open_flow(stage.dsns, stage.systems, before_write=before_write)
    Executor(
        database=flow.database,
        executor_id="sleeper",
        lease_seconds=_LEASE_SECONDS,
        fence=fence,
    ).register()
    try:
        flow.run()
    except LeaseLost:
        os._exit(0)
    os._exit(1)


@pytest.fixture
def won(database: Dsns, tmp_path: Path) -> Iterator[Set]:
    with ExitStack() as stack:
        yield stack.enter_context(STORIES["won"].set_stage("won", database, tmp_path))


class TestPausedSender:
    def test_wakes_up_late_and_gives_up(self, won: Set, database: Dsns) -> None:
        stage, vendors = won
        hears, tells = _forks.Pipe(duplex=False)
        sleeper = _forks.Process(target=_send_late, args=(stage, tells))
        sleeper.start()
        assert hears.poll(_PATIENCE_SECONDS)
        # The time tool, which knows no keys, is the first to be written to over HTTP.
        assert _state_of_client(database) == "INTENT"
        _wait_until_asleep(sleeper.pid)
        time.sleep(_LEASE_SECONDS)

        # Another takes its work over: it waits, asks, finds nothing, and sends.
        STORIES["won"].play(stage)
        after = STORIES["won"].look(stage, vendors)
        assert sleeper.pid is not None
        os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(_PATIENCE_SECONDS)

        assert sleeper.exitcode == 0
        assert STORIES["won"].look(stage, vendors) == after
        assert _created(after, "clients") == 1
        assert _state_of_client(database) == "CONFIRMED"


def _created(state: State, table: str) -> int:
    count: int = state["clock"]["created"][table]
    return count


def _state_of_client(dsns: Dsns) -> str:
    with psycopg.connect(dsns.owner) as connection:
        row = connection.execute(
            "SELECT state FROM effect WHERE noun = 'client' AND target_connection = 'clock'"
        ).fetchone()
    assert row is not None
    return str(row[0])


def _wait_until_asleep(pid: int | None) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.02)
