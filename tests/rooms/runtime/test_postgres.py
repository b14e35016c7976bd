"""The embedded cluster is found, started and stopped by what it leaves on disk."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.conftest import memory_folder

from tieline.kernel.errors import UserMistake
from tieline.runtime import postgres
from tieline.runtime.postgres import SOCKET_PATH_BYTES_MAX, EmbeddedCluster


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    # The server writes the name of its folder into what it is found by.
    home = Path(tempfile.mkdtemp(prefix="tieline-test- Büro Łódź ", dir=memory_folder()))
    home.chmod(0o755)
    made = EmbeddedCluster(home / "pg")
    yield made
    made.stop()
    shutil.rmtree(made.data_directory.parent, ignore_errors=True)
    shutil.rmtree(made.socket_directory, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


class TestEmbeddedCluster:
    def test_survives_the_death_of_its_server(
        self, cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.ensure_running()
        with psycopg.connect(cluster.superuser_dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        pid = int((cluster.data_directory / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        while cluster.is_running:
            time.sleep(0.02)

        EmbeddedCluster(cluster.directory).ensure_running()

        connection = psycopg.connect(cluster.superuser_dsn)
        assert connection.execute("SELECT number FROM kept").fetchone() == (1,)
        # One of its processes hangs: it is not waited for without end.
        os.kill(connection.info.backend_pid, signal.SIGSTOP)
        monkeypatch.setattr(postgres, "_STOP_SECONDS_MAX", 0.5)
        cluster.stop()
        assert not cluster.is_running
        connection.close()

    def test_starts_again_while_a_child_of_the_dead_server_is_deep_in_a_statement(
        self, cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.ensure_running()
        connection = psycopg.connect(cluster.superuser_dsn, autocommit=True)
        busy = Path(f"/proc/{connection.info.backend_pid}/exe")
        # It counts without ever looking up.
        connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
        pid = int((cluster.data_directory / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        while cluster.is_running:
            time.sleep(0.02)
        monkeypatch.setattr(postgres, "_ORPHAN_SECONDS_MAX", 0.5)

        cluster.ensure_running()

        connection.close()
        assert not busy.exists()
        psycopg.connect(cluster.superuser_dsn).close()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the server a user of its own")
    def test_makes_no_second_one_when_rights_change(self, cluster: EmbeddedCluster) -> None:
        cluster.ensure_running()
        cluster.stop()
        data = cluster.data_directory
        cluster.directory.parent.chmod(0o700)

        with pytest.raises(UserMistake, match="can no longer reach"):
            cluster.ensure_running()

        assert cluster.data_directory == data
        cluster.directory.parent.chmod(0o755)
        cluster.ensure_running()

    def test_does_not_take_a_stranger_for_its_server(self, cluster: EmbeddedCluster) -> None:
        cluster.ensure_running()
        cluster.stop()
        pid_file = cluster.data_directory / "postmaster.pid"
        pid_file.write_text(f"{os.getpid()}\n{cluster.data_directory}\n{int(time.time())}\n")

        assert not cluster.is_running
        cluster.ensure_running()
        assert cluster.is_running

    def test_asks_for_a_password_and_keeps_the_network_out(self, cluster: EmbeddedCluster) -> None:
        cluster.ensure_running()

        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                cluster.dsn(user="tieline_admin", password="wrong", database="postgres")
            )
        with psycopg.connect(cluster.superuser_dsn) as connection:
            settings = connection.execute(
                "SELECT current_setting('listen_addresses'), current_setting('data_checksums')"
            ).fetchone()
        assert settings == ("", "on")

    def test_keeps_its_socket_path_short_and_private(self, cluster: EmbeddedCluster) -> None:
        cluster.ensure_running()

        path = cluster.socket_directory / ".s.PGSQL.5432"
        assert len(bytes(path)) <= SOCKET_PATH_BYTES_MAX
        assert cluster.socket_directory.stat().st_mode & 0o777 == 0o770

    def test_refuses_a_version_it_does_not_have(self, tmp_path: Path) -> None:
        with pytest.raises(UserMistake, match="PostgreSQL 9"):
            EmbeddedCluster(tmp_path / "pg", 9)

    @pytest.mark.parametrize("sign", '"$`\\')
    def test_refuses_a_folder_that_a_shell_would_read(self, tmp_path: Path, sign: str) -> None:
        with pytest.raises(UserMistake, match="no "):
            EmbeddedCluster(tmp_path / f"a {sign}b").ensure_running()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
    def test_opens_nobody_s_folder(self, tmp_path: Path) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        cluster = EmbeddedCluster(private / "pg")

        cluster.ensure_running()

        try:
            assert private.stat().st_mode & 0o777 == 0o700
            assert not cluster.data_directory.is_relative_to(private)
            written = (private / "pg" / "LOCATION").read_text().strip()
            assert written == str(cluster.data_directory)
        finally:
            cluster.stop()
            shutil.rmtree(cluster.data_directory.parent)
            shutil.rmtree(cluster.socket_directory)
