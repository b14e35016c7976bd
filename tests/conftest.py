"""Databases for tests: one cluster per major and session, one fresh database per test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns, prepare_database
from tieline.runtime.postgres import EmbeddedCluster

_TEMPLATE = "tieline_template"
_MAJORS = (18, 16)
_ROOM_BYTES = 4 * 1024**3
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCluster:
    """A running cluster whose template database is migrated."""

    cluster: EmbeddedCluster
    template: Dsns
    home: Path


class _Clusters:
    """Start each major once, when a test first asks for it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._prepared: dict[int, PreparedCluster] = {}

    def get(self, major: int) -> PreparedCluster:
        if major not in self._prepared:
            self._prepared[major] = prepare_cluster(self._home / str(major), major=major)
        return self._prepared[major]

    def stop(self) -> None:
        for prepared in self._prepared.values():
            prepared.cluster.stop()
            shutil.rmtree(prepared.cluster.socket_directory, ignore_errors=True)


def prepare_cluster(home: Path, *, major: int) -> PreparedCluster:
    """Start a cluster in a folder, and migrate the database that others are copied from."""
    cluster = EmbeddedCluster(home / "pg", major)
    cluster.ensure_running()
    template = prepare_database(cluster, secrets_directory=home / "secrets", database=_TEMPLATE)
    return PreparedCluster(cluster=cluster, template=template, home=home)


@pytest.fixture(scope="session")
def clusters() -> Iterator[_Clusters]:
    """Keep the clusters of this session in a folder that the server's own user can reach."""
    home = Path(tempfile.mkdtemp(prefix="tieline-test-", dir=memory_folder()))
    home.chmod(0o755)
    started = _Clusters(home)
    yield started
    started.stop()
    shutil.rmtree(home, ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``sql`` on every supported major, the rest on the newest."""
    if "database_major" in metafunc.fixturenames:
        majors = _MAJORS if metafunc.definition.get_closest_marker("sql") else _MAJORS[:1]
        metafunc.parametrize(
            "database_major", majors, ids=lambda major: f"pg{major}", scope="session"
        )


@pytest.fixture
def prepared_cluster(clusters: _Clusters, database_major: int) -> PreparedCluster:
    """Give the cluster that holds this test's database."""
    return clusters.get(database_major)


@pytest.fixture
def database(prepared_cluster: PreparedCluster) -> Iterator[Dsns]:
    """Give a fresh migrated database: its DSNs by role."""
    with new_database(prepared_cluster) as dsns:
        yield dsns


@contextmanager
def new_database(prepared_cluster: PreparedCluster, *, copy_of: str = _TEMPLATE) -> Iterator[Dsns]:
    """Lend a fresh migrated database, or a copy of one that nobody is connected to."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    identifier = sql.Identifier(name)
    with psycopg.connect(prepared_cluster.cluster.superuser_dsn, autocommit=True) as admin:
        admin.execute(
            # Files are copied as they are: a copy that is logged costs a fifth more.
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                identifier, sql.Identifier(copy_of)
            )
        )
        _set_search_path(admin, name)
        yield _renamed(prepared_cluster.template, name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


@pytest.fixture
def worker_database(database: Dsns) -> Iterator[Database]:
    """Give transactions of the worker's role on this test's database."""
    opened = Database(database.worker, pool_max=4, application_name="test").open()
    yield opened
    opened.close()


@pytest.fixture
def secrets_directory(tmp_path: Path) -> Path:
    """Give a private folder for keys."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    return folder


def memory_folder() -> Path | None:
    """Return a folder in memory where there is room: every commit waits for its disk otherwise."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) and _free_bytes(memory) > _ROOM_BYTES else None


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _set_search_path(admin: psycopg.Connection, name: str) -> None:
    # What a role is set to in a database is not copied with its template.
    admin.execute(
        sql.SQL("ALTER DATABASE {} SET search_path = tieline").format(sql.Identifier(name))
    )


def _renamed(template: Dsns, name: str) -> Dsns:
    return Dsns(
        owner=make_conninfo(template.owner, dbname=name),
        worker=make_conninfo(template.worker, dbname=name),
        web=make_conninfo(template.web, dbname=name),
        judge=make_conninfo(template.judge, dbname=name),
        audit=make_conninfo(template.audit, dbname=name),
    )
