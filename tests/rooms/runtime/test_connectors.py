"""A connector is built anew when its configuration or one of its credentials changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tieline.app import ConfiguredConnectors
from tieline.kernel.errors import AskPerson
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.secrets import MasterKey, Secrets, open_master_key, store_secret

pytestmark = pytest.mark.sql


class Kept:
    """One connection, and the connectors that a long-lived process has of it."""

    def __init__(self, worker: Database, key: MasterKey) -> None:
        self.worker = worker
        self.key = key
        self.connectors = ConfiguredConnectors(
            database=worker,
            secrets=Secrets(database=worker, key=key),
            budgets=Budgets(database=worker),
        )

    def configure(self, **words: Any) -> None:
        with self.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode, config)"
                " VALUES ('clock', 'harvest', 'time', 'act', %s) ON CONFLICT (connection_key)"
                " DO UPDATE SET config = excluded.config",
                (Jsonb({"base_url": "http://127.0.0.1:1", **words}),),
            )

    def store(self, token: str) -> None:
        with self.worker.transaction() as connection:
            for name, value in (("access_token", token), ("account_id", "1")):
                store_secret(
                    connection, key=self.key, connection_key="clock", name=name, value=value
                )

    def get(self) -> Any:
        return self.connectors.get(connection_key="clock")


@pytest.fixture
def kept(worker_database: Database, tmp_path: Path) -> Kept:
    found = Kept(worker_database, open_master_key(secrets_directory=tmp_path / "secrets"))
    found.configure()
    found.store("first")
    return found


class TestAConnector:
    def test_is_kept_while_nothing_changes(self, kept: Kept) -> None:
        assert kept.get() is kept.get()

    def test_is_built_anew_with_another_configuration(self, kept: Kept) -> None:
        before = kept.get()
        kept.configure(timeout_seconds=9)

        assert kept.get() is not before

    def test_whose_credential_is_gone_asks_for_a_person(self, kept: Kept, database: Dsns) -> None:
        with psycopg.connect(database.owner) as owner:
            owner.execute("DELETE FROM secret WHERE name = 'access_token'")

        with pytest.raises(AskPerson, match="clock has no access_token stored"):
            kept.get()

    def test_is_built_anew_with_a_new_credential(self, kept: Kept) -> None:
        before = kept.get()
        kept.store("second")

        assert kept.get() is not before
