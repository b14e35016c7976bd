"""What a prepared database promises to its roles."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict
from tests.conftest import PreparedCluster

from tieline.kernel.errors import UserMistake
from tieline.runtime.migrate import (
    Dsns,
    check_roles,
    check_server,
    migrate,
    prepare_database,
)


@pytest.mark.sql
class TestPreparedDatabase:
    def test_keeps_every_table_in_its_schema(self, database: Dsns) -> None:
        with psycopg.connect(database.owner) as connection:
            rows = connection.execute(
                "SELECT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()

        assert {row[0] for row in rows} == {"tieline", "dbos"}

    def test_migrates_twice_without_a_word(self, database: Dsns) -> None:
        with psycopg.connect(database.owner) as connection:
            connection.execute("COMMENT ON SCHEMA dbos IS NULL")

        migrate(owner_dsn=database.owner)

    def test_is_left_alone_where_nothing_is_new(
        self, database: Dsns, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tieline.runtime.migrate._apply", _nobody_calls)

        migrate(owner_dsn=database.owner)

    @pytest.mark.parametrize(
        "change",
        [
            "COMMENT ON SCHEMA dbos IS 'DBOS 0.1'",
            "UPDATE tieline.schema_version SET version_num = '0001_runtime'",
        ],
        ids=["another engine", "an older schema"],
    )
    def test_is_migrated_where_another_version_left_it(
        self, database: Dsns, monkeypatch: pytest.MonkeyPatch, change: LiteralString
    ) -> None:
        applied: list[str] = []
        monkeypatch.setattr("tieline.runtime.migrate._apply", applied.append)
        with psycopg.connect(database.owner) as connection:
            connection.execute(change)

        migrate(owner_dsn=database.owner)

        assert applied == [database.owner]

    def test_is_left_to_the_newer_version_that_was_here(self, database: Dsns) -> None:
        with psycopg.connect(database.owner) as connection:
            connection.execute("UPDATE tieline.schema_version SET version_num = '9999_later'")

        with pytest.raises(UserMistake, match="9999_later, which this version"):
            migrate(owner_dsn=database.owner)

    def test_lets_no_role_past_row_security(self, database: Dsns) -> None:
        with psycopg.connect(database.owner) as connection:
            check_roles(connection)
            check_server(connection)

    def test_refuses_a_session_that_may_lose_rows(self, database: Dsns) -> None:
        with psycopg.connect(database.owner) as connection:
            connection.execute("SET synchronous_commit = off")

            with pytest.raises(UserMistake, match="synchronous_commit"):
                check_server(connection)

    @pytest.mark.parametrize("role", ["tieline_worker", "tieline_web"])
    def test_is_refused_when_a_role_of_it_may_lose_rows(
        self, prepared_cluster: PreparedCluster, database: Dsns, role: str
    ) -> None:
        name = str(conninfo_to_dict(database.owner)["dbname"])
        with psycopg.connect(prepared_cluster.cluster.superuser_dsn, autocommit=True) as admin:
            admin.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET synchronous_commit = off").format(
                    sql.Identifier(role), sql.Identifier(name)
                )
            )

        with pytest.raises(UserMistake, match="synchronous_commit"):
            prepare_database(
                prepared_cluster.cluster,
                secrets_directory=prepared_cluster.home / "secrets",
                database=name,
            )

    @pytest.mark.parametrize("right", ["BYPASSRLS", "SUPERUSER"])
    def test_is_refused_when_a_role_could_see_past_row_security(
        self, prepared_cluster: PreparedCluster, right: LiteralString
    ) -> None:
        with psycopg.connect(prepared_cluster.cluster.superuser_dsn) as admin:
            admin.execute(f"ALTER ROLE tieline_web {right}")

            with pytest.raises(UserMistake, match="tieline_web may bypass row security"):
                check_roles(admin)
            admin.rollback()

    @pytest.mark.parametrize("role", ["worker", "web", "judge", "audit"])
    def test_lets_only_the_owner_create_tables(self, database: Dsns, role: str) -> None:
        with (
            psycopg.connect(getattr(database, role)) as connection,
            pytest.raises(errors.InsufficientPrivilege),
        ):
            connection.execute("CREATE TABLE tieline.mine (id integer)")

    def test_lets_the_judge_read_and_not_write(self, database: Dsns) -> None:
        with psycopg.connect(database.judge) as connection:
            connection.execute("SELECT * FROM work_item")

            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute("DELETE FROM work_item")


@pytest.mark.sql
class TestVisibleEntity:
    @pytest.mark.parametrize(
        ("setting", "code", "visible"),
        [
            (None, "DE", False),
            ("", "DE", False),
            ("", "", False),
            ("DE,FR", "DE", True),
            ("DE,FR", "D", False),
            ("DE,FR", None, False),
        ],
    )
    def test_shows_only_what_the_request_named(
        self, database: Dsns, setting: str | None, code: str | None, visible: bool
    ) -> None:
        with psycopg.connect(database.web) as connection:
            if setting is not None:
                connection.execute("SELECT set_config('tieline.entities', %s, true)", (setting,))

            row = connection.execute("SELECT visible_entity(%s)", (code,)).fetchone()

        assert row == (visible,)


def _nobody_calls(dsn: str) -> None:
    raise AssertionError("nothing was to be applied")
