"""What a database says about itself, its roles and the workers on it, for whoever looks after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from tieline.runtime.migrate import ROLES
from tieline.runtime.sql import load

_SERVER = load("tieline.runtime", "look_at_server")
_GUARDS = load("tieline.runtime", "look_at_guards")
_WORKERS = load("tieline.runtime", "look_at_workers")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The server's settings on which money relies, its clock, and how many are connected."""

    major: int
    at: datetime
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    data_checksums: str
    clients: int
    clients_max: int
    migration: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """Workers that breathe, and those that stopped without a goodbye."""

    alive: int
    silent: int
    versions: tuple[str, ...]


def look_at_server(connection: Connection[Row]) -> ServerState:
    """Ask the server about itself."""
    row = connection.execute(_SERVER).fetchone()
    assert row is not None
    return ServerState(**row)


def look_at_guards(connection: Connection[Row]) -> tuple[str, ...]:
    """Name roles that see past row security, and tables that have lost it."""
    rows = connection.execute(_GUARDS, {"roles": list(ROLES)}).fetchall()
    return tuple(f"{row['kind']} {row['name']}" for row in rows)


def look_at_workers(connection: Connection[Row]) -> WorkerState:
    """Ask which workers breathe."""
    row = connection.execute(_WORKERS).fetchone()
    assert row is not None
    return WorkerState(
        alive=row["alive"], silent=row["silent"], versions=tuple(row["versions"] or ())
    )
