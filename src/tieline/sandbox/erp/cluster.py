"""The PostgreSQL cluster that Tryton lives in, as its caller describes it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

_COMMAND_SECONDS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Name a running cluster: where its socket is, who may do everything, where its programs are."""

    socket_directory: Path
    port: int
    superuser: str
    password: str = field(repr=False)
    bin_directory: Path

    @classmethod
    def from_dsn(cls, *, superuser_dsn: str, bin_directory: Path) -> Cluster:
        """Read the facts from a superuser's DSN over a unix socket."""
        facts = conninfo_to_dict(superuser_dsn)
        return cls(
            socket_directory=Path(str(facts["host"])),
            port=int(str(facts.get("port") or 5432)),
            superuser=str(facts["user"]),
            password=str(facts["password"]),
            bin_directory=bin_directory,
        )

    def connect(self, *, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection in autocommit."""
        return psycopg.connect(
            host=str(self.socket_directory),
            port=self.port,
            user=self.superuser,
            password=self.password,
            dbname=database,
            autocommit=True,
        )

    def uri(self) -> str:
        """Return the address in the form of Tryton's configuration file."""
        host = quote(str(self.socket_directory), safe="/")
        user = f"{quote(self.superuser, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{user}@/?host={host}&port={self.port}"

    def environment(self, *, options: str = "") -> Mapping[str, str]:
        """Return the variables for PostgreSQL's programs; the password stays off command lines."""
        return {
            **os.environ,
            "PGHOST": str(self.socket_directory),
            "PGPORT": str(self.port),
            "PGUSER": self.superuser,
            "PGPASSWORD": self.password,
            "PGOPTIONS": options,
        }


def create_database(*, cluster: Cluster, database: str, template: str = "template0") -> None:
    """Create a UTF-8 database, empty or as a copy, without just-in-time compilation.

    Compiling only costs here.
    """
    with cluster.connect(database="postgres") as connection:
        name = sql.Identifier(database)
        connection.execute(
            sql.SQL("create database {} template {} encoding 'UTF8'").format(
                name, sql.Identifier(template)
            )
        )
        connection.execute(sql.SQL("alter database {} set jit = off").format(name))
        # Tryton keeps instants without a zone, in the zone of its session.
        connection.execute(sql.SQL("alter database {} set timezone = 'UTC'").format(name))


def label_database(*, cluster: Cluster, database: str, label: str) -> None:
    """Note in the cluster itself what the database was made from."""
    with cluster.connect(database="postgres") as connection:
        connection.execute(
            sql.SQL("comment on database {} is {}").format(
                sql.Identifier(database), sql.Literal(label)
            )
        )


def find_label(*, cluster: Cluster, database: str) -> str | None:
    """Return what the database was made from, or None when it is not there or not ours."""
    with cluster.connect(database="postgres") as connection:
        row = connection.execute(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = %s",
            (database,),
        ).fetchone()
    return None if row is None else row[0]


def drop_database(*, cluster: Cluster, database: str) -> None:
    """Drop the database with everybody who is still connected."""
    with cluster.connect(database="postgres") as connection:
        connection.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database))
        )


def dump_database(*, cluster: Cluster, database: str, path: Path) -> None:
    """Write the database to a file that appears only when it is whole."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    _run(
        cluster=cluster,
        program="pg_dump",
        arguments=["-Fc", "-f", str(draft), "-d", database],
    )
    draft.replace(path)


def load_database(*, cluster: Cluster, database: str, path: Path) -> None:
    """Fill an empty database from a file and gather the planner's statistics."""
    arguments = ["--no-owner", "--exit-on-error", "-j", "2", "-d", database, str(path)]
    _run(cluster=cluster, program="pg_restore", arguments=arguments)
    with cluster.connect(database=database) as connection:
        connection.execute("analyze")


def _run(*, cluster: Cluster, program: str, arguments: list[str]) -> None:
    done = subprocess.run(
        [str(cluster.bin_directory / program), *arguments],
        # Half a thousand tables, each its own commit: waiting for the disk would be most of it.
        env=dict(cluster.environment(options="-c synchronous_commit=off")),
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
