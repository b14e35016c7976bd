"""Before a disk is full nothing more is read, and somebody is told; when it is, nothing is acknowledged."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from tests.rooms.casework.hand_made_firm import NOW
from tests.support.target import FixedClock
from tieline.api.problems import answer_in_problems
from tieline.casework import list_cases
from tieline.kernel.errors import TryAgain, UserMistake
from tieline.runtime import disk
from tieline.runtime.database import Database
from tieline.services.reading import DISK_LOW, Reading

_Usage = namedtuple("_Usage", ["total", "used", "free"])


class TestADiskThatRunsFull:
    def test_stops_reading_and_says_so_until_there_is_room(
        self, worker_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reading = Reading(
            database=worker_database,
            connectors=cast(Any, None),
            reader=cast(Any, None),
            time_validation=cast(Any, None),
            checks=cast(Any, None),
            clock=FixedClock(NOW),
            folders=(tmp_path,),
        )

        def told(used: int) -> list[str]:
            usage = _Usage(total=110, used=used, free=100 - used)
            monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
            reading.watch_disks()
            with worker_database.transaction() as connection:
                return [case.thing_key for case in list_cases(connection, reason=DISK_LOW)]

        assert told(84) == []
        assert told(85) == [str(tmp_path)]
        # What is due is not even looked for.
        with worker_database.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode, config)"
                " VALUES ('clock', 'harvest', 'time', 'act', '{\"streams\": [\"time_entries\"]}')"
            )
        reading.poll_due()
        reading.read_whole()
        with pytest.raises(UserMistake, match="85 % full"):
            reading.poll_now(connection_key="clock", is_full=False)
        assert told(84) == []
        with pytest.raises(AttributeError):
            reading.poll_due()

    def test_is_measured_as_it_is(self, tmp_path: Path) -> None:
        usage = shutil.disk_usage(tmp_path)
        is_low = (
            100 * usage.used >= disk.FULL_PERCENT * (usage.used + usage.free)
            and usage.free < disk.ENOUGH_BYTES
        )

        assert (disk.find_low_disk((tmp_path,)) is not None) is is_low
        # Where nothing is yet, the disk of the folder above counts.
        assert (disk.find_low_disk((tmp_path / "no" / "data",)) is not None) is is_low

    def test_is_no_matter_while_a_large_one_has_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = _Usage(total=10**13, used=9 * 10**12, free=disk.ENOUGH_BYTES)
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)

        assert disk.find_low_disk((tmp_path,)) is None


class TestADatabaseWithoutRoom:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (psycopg.errors.DiskFull("no room"), "database.full"),
            (psycopg.OperationalError("the connection is gone"), "database.busy"),
            (TryAgain("later", retry_after_seconds=7), "call.try_again"),
        ],
    )
    def test_is_answered_with_when_to_come_again(self, error: Exception, code: str) -> None:
        from fastapi import FastAPI
        from fastapi.testclient import TestClient

        api = FastAPI()
        answer_in_problems(api)

        @api.get("/")
        def fail() -> None:
            raise error

        answer = TestClient(api, raise_server_exceptions=False).get("/")

        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["code"] == code
