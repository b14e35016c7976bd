"""A Tryton process that is found, stopped and brought back."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import httpx
import pytest
from tests.rooms.sandbox_erp.conftest import DATABASE, FIRM, LOCK

from tieline.sandbox.erp import (
    RunningErp,
    bring_up,
    find_server,
    start_server,
    stop_server,
)
from tieline.settings import read_settings

pytestmark = pytest.mark.erp


class TestServer:
    def test_that_was_killed_is_not_found_again(
        self, running_erp: RunningErp, tmp_path: Path
    ) -> None:
        run_file = tmp_path / "tryton.json"
        server = _second(running_erp, tmp_path, run_file)
        assert find_server(run_file=run_file) == server

        os.kill(server.pid, signal.SIGKILL)
        os.waitpid(server.pid, 0)

        assert find_server(run_file=run_file) is None
        stop_server(run_file=run_file)
        assert not run_file.exists()

    def test_of_a_pid_that_was_used_again_is_left_alone(
        self, running_erp: RunningErp, tmp_path: Path
    ) -> None:
        run_file = tmp_path / "tryton.json"
        stranger = {
            "pid": os.getpid(), "pid_started": 1, "port": 1, "url": "", "database": "erp",
        }  # fmt: skip
        run_file.write_text(json.dumps(stranger), encoding="utf-8")

        stop_server(run_file=run_file)

        assert not run_file.exists()

    def test_starts_on_a_port_that_the_caller_names_and_serves_pages(
        self, running_erp: RunningErp, tmp_path: Path
    ) -> None:
        run_file = tmp_path / "tryton.json"
        first = _second(running_erp, tmp_path, run_file)
        pages = tmp_path / "pages"
        pages.mkdir()
        (pages / "index.html").write_text("<h1>Tryton</h1>")

        again = start_server(
            environment=running_erp.environment,
            cluster=running_erp.cluster,
            database=DATABASE,
            directory=tmp_path,
            run_file=run_file,
            port=first.port,
            web_root=pages,
        )

        assert httpx.get(again.url).text == "<h1>Tryton</h1>"
        assert "uri" not in httpx.get(f"{again.url}/%2e%2e/trytond.conf").text
        assert again.port == first.port
        assert again.pid != first.pid
        stop_server(run_file=run_file)
        with pytest.raises(httpx.ConnectError):
            httpx.get(again.url, timeout=2)

    def test_keeps_the_password_from_other_users(
        self, running_erp: RunningErp, tmp_path: Path
    ) -> None:
        run_file = tmp_path / "tryton.json"
        _second(running_erp, tmp_path, run_file)
        stop_server(run_file=run_file)

        assert (tmp_path / "trytond.conf").stat().st_mode & 0o077 == 0
        assert running_erp.cluster.password not in repr(running_erp)


class TestBringUp:
    def test_keeps_a_standing_database_and_its_logins(
        self, running_erp: RunningErp, tmp_path: Path
    ) -> None:
        said: list[str] = []
        again = bring_up(
            cluster=running_erp.cluster,
            cache=read_settings().cache,
            lock=LOCK,
            directory=tmp_path,
            run_file=tmp_path / "second.json",
            database=DATABASE,
            firm={**FIRM, "clients": []},
            is_fresh=False,
            progress=said.append,
        )
        stop_server(run_file=tmp_path / "second.json")

        assert again.template == running_erp.template
        assert said == ["starting Tryton"]


def _second(running: RunningErp, directory: Path, run_file: Path):  # type: ignore[no-untyped-def]
    return start_server(
        environment=running.environment,
        cluster=running.cluster,
        database=DATABASE,
        directory=directory,
        run_file=run_file,
    )
