"""Credentials go in sealed and come out for the worker only."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors

from tieline.kernel.errors import AskPerson, UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.secrets import Secrets, open_master_key, store_secret


def store(database: Database, directory: Path, value: str) -> Secrets:
    key = open_master_key(secrets_directory=directory)
    with database.transaction() as connection:
        store_secret(connection, key=key, connection_key="harvest", name="token", value=value)
    return Secrets(database=database, key=key)


class TestSecrets:
    def test_come_back_as_they_were(
        self, worker_database: Database, secrets_directory: Path
    ) -> None:
        store(worker_database, secrets_directory, "old")
        secrets = store(worker_database, secrets_directory, "pat-123")

        assert secrets.get(connection_key="harvest", name="token") == "pat-123"

    def test_lie_sealed_in_the_database(
        self, worker_database: Database, secrets_directory: Path
    ) -> None:
        store(worker_database, secrets_directory, "pat-123")

        with worker_database.transaction() as connection:
            row = connection.execute("SELECT envelope FROM secret").fetchone()
        assert row is not None
        assert b"pat-123" not in bytes(row["envelope"])

    def test_open_only_where_they_were_sealed(
        self, worker_database: Database, secrets_directory: Path
    ) -> None:
        secrets = store(worker_database, secrets_directory, "pat-123")
        with worker_database.transaction() as connection:
            connection.execute("UPDATE secret SET connection_key = 'tryton'")

        with pytest.raises(AskPerson, match="cannot be opened"):
            secrets.get(connection_key="tryton", name="token")

    @pytest.mark.parametrize(
        "statement",
        ["SELECT envelope FROM secret", "DELETE FROM secret", "UPDATE secret SET envelope = ''"],
    )
    def test_are_neither_read_nor_written_from_the_web(
        self, database: Dsns, statement: LiteralString
    ) -> None:
        with (
            psycopg.connect(database.web) as connection,
            pytest.raises(errors.InsufficientPrivilege),
        ):
            connection.execute(statement)

    def test_are_not_shown_by_the_key(self, secrets_directory: Path) -> None:
        key = open_master_key(secrets_directory=secrets_directory)
        text = (secrets_directory / "master.key").read_text()

        assert text not in repr(key)
        assert bytes.fromhex(text) != key.derive(purpose="material")

    def test_need_a_private_key_file(self, secrets_directory: Path) -> None:
        open_master_key(secrets_directory=secrets_directory)
        (secrets_directory / "master.key").chmod(0o644)

        with pytest.raises(UserMistake, match="chmod 600"):
            open_master_key(secrets_directory=secrets_directory)
