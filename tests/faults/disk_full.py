"""A disk that really runs full: nothing is acknowledged that is not stored, and work goes on with room.

Run by its own command, as root, for it mounts a small disk: .venv/bin/pytest tests/faults/disk_full.py
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import PreparedCluster
from tests.rooms.api.conftest import House, Portal, house
from tieline.proof.supervising import Watch
from tieline.runtime.database import Database
from tieline.runtime.disk import find_low_disk
from tieline.runtime.migrate import Dsns, prepare_database
from tieline.runtime.postgres import EmbeddedCluster
from tieline.sdk import Hint

_DISK_BYTES = 320 * 1024**2
_CALLS_MAX = 20_000
_PATIENCE_SECONDS = 60
# A test asks for it by its name.
__all__ = ["house"]
_LOG_MESSAGES_MAX = 400
_BLOCK = b"\0" * 65_536


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """Mount a small disk."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    # Where the server's own user may go, whatever other tests do to their folders.
    folder = Path(tempfile.mkdtemp(prefix="tieline-disk-", dir="/var/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0755", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture(scope="module")
def prepared_cluster(disk: Path) -> Iterator[PreparedCluster]:
    """Run a database on the small disk."""
    cluster = EmbeddedCluster(disk / "pg")
    cluster.ensure_running()
    assert cluster.data_directory.is_relative_to(disk)
    template = prepare_database(
        cluster, secrets_directory=disk / "secrets", database="tieline_template"
    )
    yield PreparedCluster(cluster=cluster, template=template, home=disk)
    cluster.stop()


@pytest.fixture
def database(prepared_cluster: PreparedCluster) -> Dsns:
    # Dropped with its disk.
    return prepared_cluster.template


@pytest.fixture
def worker_database(database: Dsns) -> Iterator[Database]:
    opened = Database(database.worker, pool_max=4, application_name="test").open()
    yield opened
    opened.close()


def _read_plainly(
    _self: Portal, *, method: str, url: str, body: bytes, headers: Mapping[str, str], now: Any
) -> Sequence[Hint]:
    event_id = json.loads(body)["id"]
    return [Hint(object="deals", source_ref=event_id, event_id=event_id)]


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(_BLOCK)
        except OSError:
            return


def _use_up_the_log(cluster: EmbeddedCluster) -> bool:
    """Write into the log alone until the server gives up; tell whether it did."""
    try:
        with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
            for _ in range(_LOG_MESSAGES_MAX):
                admin.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))")
    except psycopg.OperationalError:
        return True
    return False


class TestAFullDisk:
    def test_makes_the_api_say_so_and_acknowledge_nothing_that_is_not_stored(
        self,
        house: House,
        prepared_cluster: PreparedCluster,
        disk: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(Portal, "read_webhook", _read_plainly)
        watch = Watch(cluster=prepared_cluster.cluster, run_file=disk / "none", tell=print)
        taken: list[str] = []
        refused = 0

        def call(number: int) -> int:
            nonlocal refused
            answer = house.client.post(
                "/v1/webhooks/sales",
                content=json.dumps({"id": f"{number:08d}" * 200}),
                headers={"content-type": "application/json"},
            )
            if answer.status_code == 503:
                refused += 1
                assert int(answer.headers["retry-after"]) > 0
                assert answer.headers["content-type"] == "application/problem+json"
            else:
                assert answer.status_code == 200, answer.text
                taken.append(f"{number:08d}" * 200)
            return answer.status_code

        assert call(0) == 200
        ballast = disk / "ballast"
        _fill(ballast)
        low = find_low_disk((disk,))
        number = 1
        while not refused and number < _CALLS_MAX:
            call(number)
            number += 1
        while_full = refused
        gave_up = _use_up_the_log(prepared_cluster.cluster)
        for _ in range(3):
            watch.look()
            number += 1
            call(number)
        ballast.unlink()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            watch.look()
            number += 1
            if call(number) == 200:
                break
            assert time.monotonic() < deadline, "it does not go on when there is room"
            time.sleep(0.2)

        assert low is not None
        assert while_full > 0
        assert gave_up
        stored = {row["id"] for row in house.rows("SELECT source_event_id AS id FROM inbox")}
        assert set(taken) <= stored
        assert find_low_disk((disk,)) is None
        print(f"{len(taken)} taken, {refused} refused")
