"""The composition root: the only place that chooses concrete things."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tieline.kernel.clock import Clock
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.secrets import Secrets
from tieline.sdk import Capabilities, Connection
from tieline.settings import Settings

BUILT_IN = {
    "harvest": "tieline.connectors.harvest",
    "hubspot": "tieline.connectors.hubspot",
    "tryton": "tieline.connectors.tryton",
    "filedrop": "tieline.connectors.filedrop",
}
_ENTRY_POINT_GROUP = "tieline.connectors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedClock:
    """Business time that runs as fast as real time, from an anchor; zero shift in production."""

    shift: timedelta

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift


def connector_packages() -> dict[str, str]:
    """Return the package of every known system: ours and those that other packages announce."""
    found = {point.name: point.value for point in entry_points(group=_ENTRY_POINT_GROUP)}
    return {**found, **BUILT_IN}


@dataclass(slots=True, kw_only=True)
class ConfiguredConnectors:
    """Build connectors from the connections table, once per process and configuration."""

    database: Database
    secrets: Secrets
    _built: dict[str, tuple[datetime, Any, Capabilities]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, *, connection_key: str) -> Any:
        return self._of(connection_key)[1]

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return self._of(connection_key)[2]

    def _of(self, connection_key: str) -> tuple[datetime, Any, Capabilities]:
        with self._lock:
            if connection_key not in self._built:
                self._built[connection_key] = self._build(connection_key)
            return self._built[connection_key]

    def _build(self, connection_key: str) -> tuple[datetime, Any, Capabilities]:
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT system, config, created_at FROM connection WHERE connection_key = %s",
                (connection_key,),
            ).fetchone()
            if row is None:
                raise LookupError(f"no connection is called {connection_key}")
            secrets = self.secrets.read_all(connection, connection_key=connection_key)
        module = importlib.import_module(connector_packages()[row["system"]] + ".connector")
        connector = module.build(
            as_connection(connection_key, config=row["config"], secrets=secrets)
        )
        return row["created_at"], connector, module.MANIFEST


def as_connection(
    connection_key: str, *, config: Mapping[str, Any], secrets: Mapping[str, str]
) -> Connection:
    """Return what a connector is given; only the host of its own address is allowed."""
    address = str(config.get("base_url", ""))
    allowed = {urlsplit(address).netloc} if address else set()
    return Connection(
        connection_key=connection_key,
        base_url=address,
        config=config,
        secrets=secrets,
        allowed_hosts=frozenset(allowed | set(config.get("allowed_hosts", ()))),
        timeout_seconds=int(config.get("timeout_seconds", 10)),
    )
